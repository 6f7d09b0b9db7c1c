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
        ("[dicom]\n[dicom]\n", "dokuei.toml:2: "),
        ("[worklist]\nclaim_minutes = 0\n", "dokuei.toml:2: worklist.claim_minutes must be from 1 to 10080."),
        ("[dicom]\nmax_associations = 257 # x\n", "dokuei.toml:2: dicom.max_associations must be from 1 to 256."),
        ("[worklist]\nemergency_minutes = 300\n", "dokuei.toml:2: worklist.emergency_minutes must not be longer than"),
        ("[node]\ntime_zone = \"Asia/Edo\"\n", "dokuei.toml:2: node.time_zone is no time zone"),
        ("[http]\npublic_url = \"https://host/path\"\n", "dokuei.toml:2: http.public_url must be"),
        ("[database]\nurl = \"mysql://x\"\n", "dokuei.toml:2: database.url must begin with"),
        ("[image_store]\nurl = \"s3://bucket\"\n", "dokuei.toml:2: image_store.url must be"),
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
