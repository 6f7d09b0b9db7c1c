//! What an administrator meets: the example, mistakes in the file, overrides, secrets.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Config, ConfigError, LogFormat, Template, example};

const NO_ENVIRONMENT: [(String, String); 0] = [];

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("dokuei.toml");
    fs::write(&path, text).unwrap();
    Config::load(Some(&path), environment.iter().copied())
}

/// The message of the error that loading gives, without the directory of the file.
fn refusal(text: &str, environment: &[(&str, &str)]) -> String {
    let message = load(text, environment).expect_err(text).to_string();
    match message.split_once("dokuei.toml") {
        Some((_, rest)) => format!("dokuei.toml{rest}"),
        None => message,
    }
}

fn example_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/dokuei.example.toml")
}

#[test]
fn without_file_and_environment_the_defaults_are_valid() {
    let config = Config::load(None, NO_ENVIRONMENT).unwrap();
    assert_eq!(config, Config::default());
    config.validate().unwrap();
    assert_eq!(config.dicom.bind.to_string(), "127.0.0.1:11112");
    assert_eq!(config.http.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database_url().unwrap().expose(), "sqlite:///var/lib/dokuei/dokuei.db");
    assert_eq!(config.image_store_url(), "file:///var/lib/dokuei/image-store");
}

#[test]
fn the_example_file_is_what_the_types_say() {
    if std::env::var_os("UPDATE_EXAMPLE").is_some() {
        fs::write(example_path(), Config::example()).unwrap();
    }
    let stored = fs::read_to_string(example_path()).unwrap();
    assert!(
        stored == Config::example(),
        "config/dokuei.example.toml is stale: UPDATE_EXAMPLE=1 cargo test -p dokuei-config"
    );
}

#[test]
fn the_example_shows_every_key_and_means_the_defaults() {
    let text = Config::example();
    assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());
    assert_eq!(Config::load(Some(&example_path()), NO_ENVIRONMENT).unwrap(), Config::default());

    // With the keys that are shown as comments turned on, nothing is missing and nothing is unknown.
    let all: String =
        text.lines()
            .map(|line| {
                if line.contains(" = ") { format!("{}\n", line.trim_start_matches("# ")) } else { format!("{line}\n") }
            })
            .collect();
    toml::from_str::<Config>(&all).unwrap();
    let table: toml::Table = all.parse().unwrap();
    let sections = example::sections();
    assert_eq!(
        sections.iter().map(|(section, _)| *section).collect::<Vec<_>>(),
        ["node", "dicom", "http", "database", "image_store", "worklist", "report", "access", "telemetry"]
    );
    let schema = Config::schema();
    for (section, names) in sections {
        let shown: Vec<_> = table[section].as_table().unwrap().keys().collect();
        assert_eq!(shown.len(), names.len(), "{section}: {shown:?}");
        let reference = schema["properties"][section]["$ref"].as_str().unwrap().trim_start_matches('#');
        let described = schema.pointer(reference).unwrap();
        assert!(described["description"].is_string(), "{section} has no explanation");
        for name in names {
            assert!(table[section].get(name).is_some(), "{section}.{name}");
            assert!(described["properties"][name]["description"].is_string(), "{section}.{name} has no explanation");
        }
    }
}

#[test]
fn settings_survive_being_written() {
    let mut config = Config::load(None, NO_ENVIRONMENT).unwrap().with_data_dir("/srv/読影 \"node\"").unwrap();
    config.http.public_url = Some("https://dokuei.example.jp".into());
    config.telemetry.log_format = LogFormat::Json;
    assert_eq!(load(&config.to_toml(), &[]).unwrap(), config);
}

#[test]
fn mistakes_in_the_file_are_named_with_file_and_line() {
    let table = [
        ("[dicom]\nae_title = \"A\"\nae_titel = \"B\"\n", "dokuei.toml:3: unknown field `ae_titel`"),
        ("\n[dicomm]\nae_title = \"A\"\n", "dokuei.toml:2: unknown field `dicomm`"),
        ("organisation = \"x\"\n", "dokuei.toml:1: unknown field `organisation`"),
        ("[dicom]\n\nmax_pdu_length = \"big\"\n", "dokuei.toml:3: invalid type: string \"big\", expected u32"),
        ("[dicom]\nbind = \"localhost\"\n", "dokuei.toml:2: invalid socket address"),
        ("[dicom]\nae_title = \"SEVENTEEN LETTERS\"\n", "dokuei.toml:2: AE title has more than 16 characters"),
        ("[telemetry]\nlog_format = \"xml\"\n", "dokuei.toml:2: unknown variant `xml`"),
        ("[dicom]\nbind =\n", "dokuei.toml:2: "),
        ("[dicom]\nbind = \"192.0.2.1:104\"\n", "dokuei.toml:2: dicom.bind must be a loopback address, because plain"),
        ("[dicom]\nbind = \"0.0.0.0:104\"\n", "dokuei.toml:2: dicom.bind must be a loopback address, because plain"),
        ("[dicom]\nplain_network = \"yes\"\n", "dokuei.toml:2: unknown variant `yes`"),
        ("[dicom]\ntls_bind = \"0.0.0.0:2762\"\n", "dokuei.toml:2: dicom.tls_bind needs dicom.tls_certificate_file"),
        ("[dicom]\ntls_key_file = \"/k\"\n", "dokuei.toml:2: dicom.tls_key_file needs dicom.tls_certificate_file"),
        (
            "[dicom]\ntls_certificate_file = \"/c\"\n",
            "dokuei.toml:2: dicom.tls_certificate_file needs dicom.tls_key_file",
        ),
        (
            "[dicom]\ntls_certificate_file = \"/c\"\ntls_key_file = \"/k\"\ntls_bind = \"[::1]:2762\"\n",
            "dokuei.toml:4: dicom.tls_bind needs dicom.tls_client_ca_file",
        ),
        ("[dicom]\ntls_client_certificate = \"perhaps\"\n", "dokuei.toml:2: unknown variant `perhaps`"),
        ("[dicom]\ntransfer_syntaxes = \"JPEG\"\n", "dokuei.toml:2: 'JPEG' is no transfer syntax"),
        ("[dicom]\ntransfer_syntaxes = \"1.2; 1.3\"\n", "dokuei.toml:2: only one list may stand without a SOP class"),
        ("[dicom]\n[dicom]\n", "dokuei.toml:2: "),
        ("[worklist]\nclaim_minutes = 0\n", "dokuei.toml:2: worklist.claim_minutes must be from 1 to 10080."),
        ("[dicom]\nmax_associations = 4097 # x\n", "dokuei.toml:2: dicom.max_associations must be from 1 to 4096."),
        ("[worklist]\nemergency_minutes = 300\n", "dokuei.toml:2: worklist.emergency_minutes must not be longer than"),
        ("[node]\ntime_zone = \"Asia/Edo\"\n", "dokuei.toml:2: node.time_zone is no time zone"),
        ("[http]\npublic_url = \"https://host/path\"\n", "dokuei.toml:2: http.public_url must be"),
        ("[database]\nurl = \"mysql://x\"\n", "dokuei.toml:2: database.url must begin with"),
        ("[image_store]\nurl = \"s3://\"\n", "dokuei.toml:2: image_store.url must be"),
        ("[image_store]\nurl = \"s3://key:secret@bucket\"\n", "dokuei.toml:2: image_store.url must be"),
        ("[image_store]\ncopy_url = \"/mnt\"\n", "dokuei.toml:2: image_store.copy_url must be"),
        (
            "[image_store]\ncopy_url = \"file://{data_dir}/image-store\"\n",
            "dokuei.toml:2: image_store.copy_url must be another place",
        ),
        ("[image_store]\ncopy_secret_key_file = \"a\"\n", "dokuei.toml:2: image_store.copy_secret_key_file needs"),
        ("[image_store]\nscrub_days = 0\n", "dokuei.toml:2: image_store.scrub_days must be from 1 to 3650."),
        ("[image_store]\naccess_key = \"a\"\n", "dokuei.toml:2: image_store.access_key needs image_store.secret_key"),
        ("[image_store]\nsecret_key = \"a\"\n", "dokuei.toml:2: image_store.secret_key needs image_store.access_key"),
        ("[image_store]\nurl = \"file://relative\"\n", "dokuei.toml:2: image_store.url must be"),
        ("[telemetry]\nlog_level = \"loud\"\n", "dokuei.toml:2: telemetry.log_level must be"),
        ("[report]\nback_off_cap_seconds = 5\n", "dokuei.toml:2: report.back_off_cap_seconds must not be shorter"),
        (
            "[access]\nsession_idle_minutes = 1440\nsession_absolute_hours = 1\n",
            "dokuei.toml:2: access.session_idle_minutes must",
        ),
        ("[node]\norganisation = \"\"\n", "dokuei.toml:2: node.organisation must be 1 to 64"),
    ];
    for (text, expected) in table {
        let message = refusal(text, &[]);
        assert!(message.starts_with(expected), "{text:?}\n  gives    {message}\n  expected {expected}");
    }

    let all = refusal("[report]\nmax_attempts = 0\n[access]\nsign_in_attempts = 0\n", &[]);
    assert!(all.contains("report.max_attempts") && all.contains("access.sign_in_attempts"), "{all}");

    let absent = Config::load(Some(Path::new("/nowhere/dokuei.toml")), NO_ENVIRONMENT).unwrap_err();
    assert_eq!(absent.to_string(), "cannot read configuration file /nowhere/dokuei.toml");
}

#[test]
fn plain_dicom_leaves_the_machine_only_when_the_file_says_so_in_words() {
    let closed = load("[dicom]\nbind = \"0.0.0.0:104\"\nplain_network = \"in a closed network\"\n", &[]).unwrap();
    assert_eq!(closed.dicom.plain_network, crate::PlainNetwork::Closed);
    for loopback in ["127.0.0.2:104", "[::1]:104", "[::ffff:127.0.0.1]:104"] {
        load(&format!("[dicom]\nbind = \"{loopback}\"\n"), &[]).unwrap();
    }
}

#[test]
fn tls_has_its_files_below_the_data_directory_and_asks_for_certificates() {
    let text = "[dicom]\ntls_bind = \"0.0.0.0:2762\"\ntls_certificate_file = \"{data_dir}/tls/c.pem\"\n\
                tls_key_file = \"/run/k.pem\"\ntls_client_ca_file = \"{data_dir}/tls/h.pem\"\n";
    let config = load(text, &[]).unwrap().with_data_dir("/srv/dokuei").unwrap();
    let files = config.dicom_tls_files().unwrap();
    assert_eq!((files.certificate, files.key), ("/srv/dokuei/tls/c.pem".into(), "/run/k.pem".into()));
    assert_eq!((files.client_ca, files.server_ca), (Some("/srv/dokuei/tls/h.pem".into()), None));
    assert_eq!(config.dicom.tls_client_certificate, crate::TlsClientCertificate::Required);
    let none = [("DOKUEI__DICOM__TLS_CLIENT_CERTIFICATE", "none")];
    let without = "[dicom]\ntls_bind = \"[::1]:0\"\ntls_certificate_file = \"c\"\ntls_key_file = \"k\"\n";
    assert_eq!(load(without, &none).unwrap().dicom.tls_client_certificate, crate::TlsClientCertificate::None);
    assert_eq!(load("", &[]).unwrap().dicom_tls_files(), None);
}

#[test]
fn transfer_syntaxes_have_an_order_for_all_and_for_one_class() {
    let text =
        "[dicom]\ntransfer_syntaxes = \"1.2.840.10008.1.2.4.70, 1.2.840.10008.1.2.1 ; 1.2.3: 1.2.840.10008.1.2\"\n";
    let config = load(text, &[]).unwrap();
    let order = config.dicom.transfer_syntaxes.clone().unwrap();
    let of_all: Vec<_> = order.of_all.iter().map(|uid| uid.as_str()).collect();
    assert_eq!(of_all, ["1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.1"]);
    let (sop_class, syntaxes) = &order.of_class[0];
    assert_eq!((sop_class.as_str(), syntaxes[0].as_str(), syntaxes.len()), ("1.2.3", "1.2.840.10008.1.2", 1));
    assert_eq!(load(&config.to_toml(), &[]).unwrap(), config);
    assert_eq!(load("", &[]).unwrap().dicom.transfer_syntaxes, None);
}

#[test]
fn the_environment_wins_and_is_typed() {
    let config = load(
        "[dicom]\nae_title = \"FILE\"\nmax_pdu_length = 16384\n",
        &[
            ("DOKUEI__DICOM__AE_TITLE", "ENV"),
            ("DOKUEI__DICOM__MAX_ASSOCIATIONS", "7"),
            ("DOKUEI__HTTP__BIND", "[::1]:0"),
            ("DOKUEI__HTTP__PUBLIC_URL", "https://dokuei.example.jp"),
            ("DOKUEI__NODE__ORGANISATION", "2026"),
            ("DOKUEI__TELEMETRY__LOG_FORMAT", "json"),
            ("dokuei__dicom__ae_title", "not ours"),
            ("DOKUEI_LOG", "not ours either"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.dicom.ae_title.as_str(), "ENV");
    assert_eq!(config.dicom.max_pdu_length, 16_384);
    assert_eq!(config.dicom.max_associations, 7);
    assert_eq!(config.http.bind.to_string(), "[::1]:0");
    assert_eq!(config.http.public_url.as_deref(), Some("https://dokuei.example.jp"));
    assert_eq!(config.node.organisation, "2026");
    assert_eq!(config.telemetry.log_format, LogFormat::Json);
}

#[test]
fn mistakes_in_the_environment_are_named_with_the_variable() {
    let table = [
        ("DOKUEI__DICOM__AE_TITEL", "X", "unknown field `ae_titel`"),
        ("DOKUEI__DICOMM__AE_TITLE", "X", "unknown field `dicomm`"),
        ("DOKUEI__DICOM", "X", "must have the form"),
        ("DOKUEI__DICOM__AE__TITLE", "X", "must have the form"),
        ("DOKUEI__DICOM__", "X", "must have the form"),
        ("DOKUEI__DICOM__MAX_ASSOCIATIONS", "many", "invalid type: string \"many\", expected u32"),
        ("DOKUEI__DICOM__MAX_ASSOCIATIONS", "-1", "invalid value: integer `-1`, expected u32"),
        ("DOKUEI__DICOM__MAX_ASSOCIATIONS", "1\n[http]", "invalid type: string"),
        ("DOKUEI__WORKLIST__CLAIM_MINUTES", "0", "worklist.claim_minutes must be from 1 to 10080."),
    ];
    for (variable, value, expected) in table {
        let message = refusal("[worklist]\nclaim_minutes = 30\n", &[(variable, value)]);
        assert!(
            message.starts_with(&format!("environment variable {variable}: {expected}")),
            "{variable}={value} gives {message}"
        );
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt as _;
        let value = std::ffi::OsString::from_vec(vec![0xff]);
        let error = Config::load(None, [(std::ffi::OsString::from("DOKUEI__NODE__ORGANISATION"), value)]).unwrap_err();
        assert_eq!(error.to_string(), "environment variable DOKUEI__NODE__ORGANISATION: must be valid UTF-8");
    }
}

#[test]
fn the_data_directory_of_the_command_line_moves_everything_that_stands_on_it() {
    let config = load("[node]\ndata_dir = \"relative\"\n", &[]).unwrap();
    assert_eq!(config.data_dir(), std::env::current_dir().unwrap().join("relative"));

    let config = config.with_data_dir("/srv/50% done?#1").unwrap();
    assert_eq!(config.data_dir(), Path::new("/srv/50% done?#1"));
    assert_eq!(config.database_url().unwrap().expose(), "sqlite:///srv/50%25 done%3F%231/dokuei.db");
    assert_eq!(config.image_store_url(), "file:///srv/50%25 done%3F%231/image-store");
    assert!(config.with_data_dir("").is_err());
}

#[test]
fn a_secret_can_stand_in_its_own_file_and_is_never_printed() {
    let place = tempfile::tempdir().unwrap();
    let url = "postgres://dokuei:hunter2@db.example.jp/dokuei";
    fs::write(place.path().join("database-url"), format!("{url}\n")).unwrap();

    let config =
        load("[database]\nurl_file = \"{data_dir}/database-url\"\n", &[]).unwrap().with_data_dir(place.path()).unwrap();
    let secret = config.database_url().unwrap();
    assert_eq!(secret.expose(), url);
    assert_eq!(format!("{secret:?}"), "***");
    let in_the_open = load(&format!("[database]\nurl = \"{url}\"\n"), &[]).unwrap();
    assert_eq!(in_the_open.database_url().unwrap().expose(), url);
    assert!(!format!("{in_the_open:?}").contains("hunter2"));

    // The environment replaces either by either.
    let other = "sqlite:///tmp/other.db";
    let replaced = load("[database]\nurl_file = \"/nowhere\"\n", &[("DOKUEI__DATABASE__URL", other)]).unwrap();
    assert_eq!(replaced.database_url().unwrap().expose(), other);
    let path = place.path().join("database-url");
    let replaced =
        load("[database]\nurl = \"sqlite:///x\"\n", &[("DOKUEI__DATABASE__URL_FILE", path.to_str().unwrap())]).unwrap();
    assert_eq!(replaced.database_url().unwrap().expose(), url);

    let twice = refusal("[database]\nurl = \"sqlite:///x\"\nurl_file = \"/y\"\n", &[]);
    assert_eq!(twice, "dokuei.toml:3: database.url_file must not be set together with database.url: remove one");
    let twice = refusal("", &[("DOKUEI__DATABASE__URL_FILE", "/y"), ("DOKUEI__DATABASE__URL", "sqlite:///x")]);
    assert!(twice.starts_with("environment variable DOKUEI__DATABASE__URL: "), "{twice}");

    let absent = load("[database]\nurl_file = \"/nowhere/url\"\n", &[]).unwrap().database_url().unwrap_err();
    assert_eq!(absent.to_string(), "cannot read the file that database.url_file names: /nowhere/url");
    fs::write(&path, "hunter2").unwrap();
    let wrong = config.database_url().unwrap_err().to_string();
    assert!(wrong.contains("database.url_file") && !wrong.contains("hunter2"), "{wrong}");
}

#[test]
fn a_file_with_a_mistake_does_not_print_its_secret() {
    for text in [
        "[database]\nurl = \"postgres://u:hunter2@h/d\" x\n",
        "[database]\nurl = \"postgres://u:hunter2@h/d\n",
        "[database]\nurll = \"postgres://u:hunter2@h/d\"\n",
    ] {
        let error = load(text, &[]).unwrap_err();
        assert!(!error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(format!("{:?}", Template::new("postgres://u:p@h/d")), "\"***@h/d\"");
}

#[test]
fn the_keys_of_an_s3_server_come_from_the_file_its_files_or_the_environment() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("secret"), "hunter2\n").unwrap();
    assert_eq!(
        load("[image_store]\nurl = \"s3://images/a?region=x\"\n", &[]).unwrap().image_store_keys().unwrap(),
        None
    );

    let text = "[image_store]\nurl = \"s3://images\"\naccess_key = \"me\"\nsecret_key_file = \"{data_dir}/secret\"\n";
    let config = load(text, &[]).unwrap().with_data_dir(place.path()).unwrap();
    let keys = config.image_store_keys().unwrap().unwrap();
    assert_eq!((keys.access_key.expose(), keys.secret_key.expose()), ("me", "hunter2"));
    assert!(!format!("{config:?}{keys:?}").contains("hunter2"));

    let replaced = load(text, &[("DOKUEI__IMAGE_STORE__SECRET_KEY", "other")]).unwrap();
    assert_eq!(replaced.image_store_keys().unwrap().unwrap().secret_key.expose(), "other");
    assert!(!format!("{replaced:?}").contains("other"));
    let absent = load(text, &[("DOKUEI__IMAGE_STORE__SECRET_KEY_FILE", "/nowhere")]).unwrap();
    assert!(absent.image_store_keys().unwrap_err().to_string().contains("image_store.secret_key_file"));
}
