//! `dokuei config`.

use dokuei_config::Config;

use crate::{cli::ConfigCommand, cli::NodeArgs, compose::load_config, output::Output};

pub(crate) fn run(args: &NodeArgs, output: Output, command: &ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check => {
            let config = load_config(args)?;
            output.show(&serde_json::json!({ "ok": true, "data_dir": config.data_dir() }), || {
                format!("the configuration is sound; the data folder is {}", config.data_dir().display())
            })
        }
        ConfigCommand::Schema => output.line(&Config::schema()),
        ConfigCommand::Example => {
            output.text(Config::example().trim_end());
            Ok(())
        }
    }
}
