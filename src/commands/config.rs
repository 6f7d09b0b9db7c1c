//! `dokuei config`.

use dokuei_config::Config;
use dokuei_domain::Ambient;

use crate::{cli::ConfigCommand, cli::NodeArgs, compose::load_config, output::Output, tls};

pub(crate) fn run(args: &NodeArgs, output: Output, command: &ConfigCommand, ambient: &Ambient) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check => {
            let config = load_config(args)?;
            let attention = tls_attention(&config, ambient)?;
            output.show(
                &serde_json::json!({ "ok": true, "data_dir": config.data_dir(), "attention": attention }),
                || {
                    let sound =
                        format!("the configuration is sound; the data folder is {}", config.data_dir().display());
                    attention.iter().fold(sound, |text, line| format!("{text}\nattention: {line}"))
                },
            )
        }
        ConfigCommand::Schema => output.line(&Config::schema()),
        ConfigCommand::Example => {
            output.text(Config::example().trim_end());
            Ok(())
        }
    }
}

/// Files of TLS that cannot be used are an error, and so is a certificate that peers refuse now; one that will be is said.
fn tls_attention(config: &Config, ambient: &Ambient) -> anyhow::Result<Vec<String>> {
    let Some(opened) = tls::open(config, ambient)? else { return Ok(Vec::new()) };
    match opened.certificate().trouble(ambient.now()) {
        Some(trouble) if trouble.is_fatal() => Err(anyhow::anyhow!(trouble).context("dicom.tls_certificate_file")),
        trouble => Ok(trouble.iter().map(|trouble| format!("dicom.tls_certificate_file: {trouble}")).collect()),
    }
}
