//! The binary: reads the command line, puts the parts together, runs what was asked. Exit 0: done; 1: not done, the reason is on standard error; 2: the
//! command line was wrong.

mod adopter;
mod ambient;
mod cli;
mod commands;
mod compose;
mod demo;
mod lifecycle;
mod operations;
mod output;
mod telemetry;
mod tls;

use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Command};
use compose::Node;
use dokuei_config::LogFormat;
use output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error.into());
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a command that failed")]
fn complain(error: &anyhow::Error) {
    eprintln!("dokuei: {error:#}");
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { node: args, command } = cli;
    let output = Output { json: args.json };
    let ambient = ambient::system_ambient();
    match command {
        Command::Serve => {
            let config = compose::load_config(&args)?;
            telemetry::start(&config.telemetry.log_level, config.telemetry.log_format);
            let mode = compose::Mode { tls: tls::open(&config, &ambient)?, ..compose::Mode::default() };
            let node = Node::open(config, ambient, mode).await?;
            return commands::serve::run(node, output).await;
        }
        Command::Demo(demo) => return demo::run(&args, output, &demo, ambient).await,
        Command::Init(init) => commands::init::run(&args, output, &init, ambient).await?,
        Command::Config(command) => commands::config::run(&args, output, &command, &ambient)?,
        Command::Send(send) => commands::peer::send(output, send, &ambient).await?,
        Command::Find(find) => commands::find::run(output, find, &ambient).await?,
        Command::Echo(peer) => commands::peer::echo(output, peer, &ambient).await?,
        Command::Commit(args) => commands::commitment::ask(output, args, &ambient).await?,
        Command::Totp { secret } => commands::totp::run(output, &secret, &ambient)?,
        Command::Doctor => commands::doctor::run(&args, output, ambient).await?,
        command => {
            telemetry::start("warn", LogFormat::Text);
            let node = Node::from_args(&args, ambient).await?;
            let done = with_node(&node, output, command).await;
            node.close().await;
            done?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn with_node(node: &Node, output: Output, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Facility(command) => commands::accounts::facility(node, output, command).await,
        Command::Reader(command) => commands::accounts::reader(node, output, command).await,
        Command::User(command) => commands::accounts::user(node, output, command).await,
        Command::Study(command) => commands::study::run(node, output, command).await,
        Command::Worklist(command) => commands::worklist::run(node, output, command).await,
        Command::Report(command) => commands::report::run(node, output, command).await,
        Command::Jobs(command) => commands::work::jobs(node, output, command).await,
        Command::Commitment(command) => commands::commitment::list(node, output, command).await,
        Command::Quarantine(command) => commands::quarantine::quarantine(node, output, command).await,
        Command::Identity(command) => commands::quarantine::identity(node, output, command).await,
        Command::Export(args) => commands::archive::export(node, output, args).await,
        Command::Import(args) => commands::import::run(node, output, args).await,
        Command::RebuildIndex => commands::archive::rebuild_index(node, output).await,
        Command::Storage(command) => commands::storage::run(node, output, command).await,
        Command::Serve
        | Command::Demo(_)
        | Command::Init(_)
        | Command::Config(_)
        | Command::Send(_)
        | Command::Find(_)
        | Command::Echo(_)
        | Command::Commit(_)
        | Command::Totp { .. }
        | Command::Doctor => {
            unreachable!("handled without an opened node")
        }
    }
}
