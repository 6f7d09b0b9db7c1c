//! The command line. Data goes to standard output, everything else to standard error; `--json` where a program would read it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// 読影 — a DICOM tele-radiology routing node: receives studies, assigns readers, returns signed reports.
#[derive(Debug, Parser)]
#[command(name = "dokuei", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which node a command is about.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NodeArgs {
    /// Configuration file; without it {data-dir}/dokuei.toml or /etc/dokuei/dokuei.toml if there is one, else the defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder of database, images and keys; wins over the configuration
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the node
    Serve,
    /// Run a node with a demonstration hospital, a reader and an office, in a data folder of its own
    Demo(DemoArgs),
    /// Make configuration, keys, database and the first administrator
    Init(InitArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Requesting facilities
    #[command(subcommand)]
    Facility(FacilityCommand),
    /// Radiologists
    #[command(subcommand)]
    Reader(ReaderCommand),
    /// Accounts of facilities, the office and administrators
    #[command(subcommand)]
    User(UserCommand),
    /// Reading cases
    #[command(subcommand)]
    Worklist(WorklistCommand),
    /// Signed reports
    #[command(subcommand)]
    Report(ReportCommand),
    /// Background work that waits or is dead
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Objects that were kept aside
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Send DICOM files or folders to a peer by C-STORE
    Send(SendArgs),
    /// Ask a peer for a C-ECHO
    Echo(PeerArgs),
    /// Write stored objects as files, byte for byte
    Export(ExportArgs),
    /// Take DICOM files of a folder into the archive
    Import(ImportArgs),
    /// Make the index again from the stored objects alone; stop the node first
    RebuildIndex,
    /// Print the current code of a TOTP secret, for whoever has no authenticator at hand in a demonstration
    Totp { secret: String },
    /// Check database, store, keys, ports, clock and disk, and say what to do
    Doctor,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Do the whole loop without a person (send, claim, sign, return) and end when the hospital holds the report
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Sign-in name of the first administrator
    #[arg(long, default_value = "admin")]
    pub(crate) administrator: String,
    /// Name of the organisation that reads; stands in certificates and reports
    #[arg(long, default_value = "遠隔読影センター")]
    pub(crate) organisation: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read the configuration and say what is wrong with it
    Check,
    /// Print the JSON schema
    Schema,
    /// Print an example with every key, its default and what it means
    Example,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FacilityCommand {
    /// Add a facility
    Add(FacilityAdd),
    /// List facilities
    List,
    /// Change a facility's name, or add a peer, an alias or a return target
    Edit(FacilityEdit),
    /// Admit nothing more from a facility; its studies stay
    Disable {
        #[arg(long)]
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct FacilityAdd {
    #[arg(long)]
    pub(crate) id: String,
    #[arg(long)]
    pub(crate) name: String,
    /// OID under which the facility issues patient IDs
    #[arg(long)]
    pub(crate) issuer: String,
    /// AE title that sends, with its role: HOSP1[:reading|prior|both]; repeatable
    #[arg(long = "calling-aet", value_name = "AET[:ROLE]")]
    pub(crate) calling_aet: Vec<String>,
    /// Address that all of them must come from
    #[arg(long)]
    pub(crate) address: Option<std::net::IpAddr>,
    /// Where reports go: dicom:AET@HOST:PORT; repeatable
    #[arg(long = "return", value_name = "TARGET")]
    pub(crate) return_to: Vec<String>,
    /// Other texts the facility's equipment writes as issuer; repeatable
    #[arg(long = "issuer-alias")]
    pub(crate) issuer_alias: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FacilityEdit {
    #[arg(long)]
    pub(crate) id: String,
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[arg(long = "calling-aet", value_name = "AET[:ROLE]")]
    pub(crate) calling_aet: Vec<String>,
    #[arg(long)]
    pub(crate) address: Option<std::net::IpAddr>,
    #[arg(long = "return", value_name = "TARGET")]
    pub(crate) return_to: Vec<String>,
    #[arg(long = "issuer-alias")]
    pub(crate) issuer_alias: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LanguageArg {
    Ja,
    En,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReaderCommand {
    /// Add a radiologist; prints the password, the second factor and the recovery codes once
    Add(ReaderAdd),
    List,
    /// End all sessions and admit no more sign-ins
    Disable {
        #[arg(long)]
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ReaderAdd {
    #[arg(long)]
    pub(crate) id: String,
    /// Name as in DICOM: alphabetic=ideographic=phonetic
    #[arg(long)]
    pub(crate) name: String,
    /// Modalities the reader reads
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) modality: Vec<String>,
    /// On-duty hours such as 'Mon-Fri 08:00-20:00'; without it always on duty
    #[arg(long)]
    pub(crate) hours: Option<String>,
    /// Organisation in certificate and report; without it the node's
    #[arg(long)]
    pub(crate) organisation: Option<String>,
    #[arg(long, value_enum, default_value = "ja")]
    pub(crate) language: LanguageArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum UserRole {
    Facility,
    Office,
    Administrator,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add an account; prints the password, the second factor and the recovery codes once
    Add(UserAdd),
    List,
    /// End all sessions and admit no more sign-ins
    Disable {
        #[arg(long)]
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UserAdd {
    #[arg(long)]
    pub(crate) id: String,
    #[arg(long, value_enum)]
    pub(crate) role: UserRole,
    /// The facility of a facility's account
    #[arg(long, required_if_eq("role", "facility"))]
    pub(crate) facility: Option<String>,
    /// Name shown on pages
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long, value_enum, default_value = "ja")]
    pub(crate) language: LanguageArg,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorklistCommand {
    List,
    Show {
        case: String,
    },
    /// Propose a case to a reader, or let the rules choose
    Assign {
        case: String,
        #[arg(long)]
        reader: Option<String>,
    },
    /// Enter the clinical question of a study
    Request(RequestArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    #[arg(long)]
    pub(crate) facility: String,
    /// Study Instance UID
    #[arg(long)]
    pub(crate) study: String,
    #[arg(long)]
    pub(crate) question: String,
    /// Telephone number for questions and critical results
    #[arg(long, default_value = "")]
    pub(crate) callback: String,
    #[arg(long, default_value = "")]
    pub(crate) physician: String,
    /// emergency, urgent or routine
    #[arg(long, default_value = "routine")]
    pub(crate) priority: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// A signed version and its deliveries
    Show { report: String },
    /// Check manifest, files and signature
    Verify { report: String },
    /// Deliver again
    Resend { delivery: String },
    /// Write the version's files to a folder
    Files { report: String, directory: PathBuf },
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    List,
    /// Put a dead job back
    Retry {
        job: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    List,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PeerArgs {
    /// HOST:PORT
    pub(crate) peer: String,
    /// AE title of the peer
    #[arg(long, default_value = "ANY-SCP")]
    pub(crate) called: String,
    /// AE title we call ourselves
    #[arg(long, default_value = "DOKUEI")]
    pub(crate) calling: String,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    /// Files and folders
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(false).args(["study", "instance"]))]
pub(crate) struct ExportArgs {
    #[arg(long)]
    pub(crate) facility: String,
    /// Study Instance UID
    #[arg(long)]
    pub(crate) study: Option<String>,
    /// SOP Instance UID
    #[arg(long)]
    pub(crate) instance: Option<String>,
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[arg(long)]
    pub(crate) facility: String,
    pub(crate) directory: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
