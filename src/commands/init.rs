//! `dokuei init`: configuration, keys, database, first administrator.

use std::path::Path;

use anyhow::Context as _;
use dokuei_access::{Language, NewAccount, NodeKeys};
use dokuei_domain::{Actor, Ambient, Role};

use super::accounts::{account_id, show_enrolment};
use crate::{
    cli::{InitArgs, NodeArgs},
    compose::{Mode, Node, keys_dir, load_config},
    output::Output,
};

pub(crate) async fn run(args: &NodeArgs, output: Output, init: &InitArgs, ambient: Ambient) -> anyhow::Result<()> {
    let mut config = load_config(args)?;
    config.node.organisation.clone_from(&init.organisation);
    let data_dir = config.data_dir().to_owned();
    create(&data_dir, &ambient, &init.organisation)?;
    let file = data_dir.join("dokuei.toml");
    if args.config.is_none() && !file.exists() {
        write_config(&file, &config.to_toml()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let node = Node::open(config, ambient, Mode::default()).await?;
    let administrator = NewAccount {
        id: account_id(&init.administrator)?,
        role: Role::Administrator,
        facility: None,
        display_name: init.administrator.clone(),
        language: Language::Japanese,
    };
    let enrolment = node.access.account_add(&Actor::CommandLine, administrator).await?;
    node.close().await;
    show_enrolment(output, &enrolment)
}

/// For the node's eyes only: secrets of the environment are written out with the rest.
fn write_config(file: &Path, text: &str) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

/// Makes the data folder and the node's keys.
pub(crate) fn create(data_dir: &Path, ambient: &Ambient, organisation: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(data_dir)
        .with_context(|| format!("cannot make {}", data_dir.display()))?;
    NodeKeys::create(&keys_dir(data_dir), ambient, organisation)?;
    Ok(())
}
