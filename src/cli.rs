//! The command line. Data goes to standard output, everything else to standard error; `--json` where a program would read it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// 読影 — a DICOM tele-radiology routing node: receives studies, assigns readers, returns signed reports.
#[derive(Debug, Parser)]
#[command(name = "dokuei", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    pub node: NodeArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// Which node a command is about.
#[derive(Debug, Clone, Default, Args)]
pub struct NodeArgs {
    /// Configuration file; without it {data-dir}/dokuei.toml or /etc/dokuei/dokuei.toml if there is one, else the defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of database, images and keys; wins over the configuration
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
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
    /// Make the index again from the stored objects alone
    RebuildIndex,
    /// Check database, store, keys, ports, clock and disk, and say what to do
    Doctor,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Do the whole loop without a person (send, claim, sign, return) and end when the hospital holds the report
    #[arg(long)]
    pub once: bool,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Sign-in name of the first administrator
    #[arg(long, default_value = "admin")]
    pub administrator: String,
    /// Name of the organisation that reads; stands in certificates and reports
    #[arg(long, default_value = "遠隔読影センター")]
    pub organisation: String,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the configuration and say what is wrong with it
    Check,
    /// Print the JSON schema
    Schema,
    /// Print an example with every key, its default and what it means
    Example,
}

#[derive(Debug, Subcommand)]
pub enum FacilityCommand {
    /// Add a facility
    Add(FacilityAdd),
    /// List facilities
    List,
    /// Change a facility's name, or add a peer, an alias or a return target
    Edit(FacilityEdit),
    /// Admit nothing more from a facility; its studies stay
    Disable { #[arg(long)] id: String },
}

#[derive(Debug, Args)]
pub struct FacilityAdd {
    #[arg(long)]
    pub id: String,
    #[arg(long)]
    pub name: String,
    /// OID under which the facility issues patient IDs
    #[arg(long)]
    pub issuer: String,
    /// AE title that sends, with its role: HOSP1[:reading|prior|both]; repeatable
    #[arg(long = "calling-aet", value_name = "AET[:ROLE]")]
    pub calling_aet: Vec<String>,
    /// Address that all of them must come from
    #[arg(long)]
    pub address: Option<std::net::IpAddr>,
    /// Where reports go: dicom:AET@HOST:PORT; repeatable
    #[arg(long = "return", value_name = "TARGET")]
    pub return_to: Vec<String>,
    /// Other texts the facility's equipment writes as issuer; repeatable
    #[arg(long = "issuer-alias")]
    pub issuer_alias: Vec<String>,
}

#[derive(Debug, Args)]
pub struct FacilityEdit {
    #[arg(long)]
    pub id: String,
    #[arg(long)]
    pub name: Option<String>,
    #[arg(long = "calling-aet", value_name = "AET[:ROLE]")]
    pub calling_aet: Vec<String>,
    #[arg(long)]
    pub address: Option<std::net::IpAddr>,
    #[arg(long = "return", value_name = "TARGET")]
    pub return_to: Vec<String>,
    #[arg(long = "issuer-alias")]
    pub issuer_alias: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LanguageArg {
    Ja,
    En,
}

#[derive(Debug, Subcommand)]
pub enum ReaderCommand {
    /// Add a radiologist; prints the password, the second factor and the recovery codes once
    Add(ReaderAdd),
    List,
    /// End all sessions and admit no more sign-ins
    Disable { #[arg(long)] id: String },
}

#[derive(Debug, Args)]
pub struct ReaderAdd {
    #[arg(long)]
    pub id: String,
    /// Name as in DICOM: alphabetic=ideographic=phonetic
    #[arg(long)]
    pub name: String,
    /// Modalities the reader reads
    #[arg(long, value_delimiter = ',', required = true)]
    pub modality: Vec<String>,
    /// On-duty hours such as 'Mon-Fri 08:00-20:00'; without it always on duty
    #[arg(long)]
    pub hours: Option<String>,
    /// Organisation in certificate and report; without it the node's
    #[arg(long)]
    pub organisation: Option<String>,
    #[arg(long, value_enum, default_value = "ja")]
    pub language: LanguageArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum UserRole {
    Facility,
    Office,
    Administrator,
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add an account; prints the password, the second factor and the recovery codes once
    Add(UserAdd),
    List,
    /// End all sessions and admit no more sign-ins
    Disable { #[arg(long)] id: String },
}

#[derive(Debug, Args)]
pub struct UserAdd {
    #[arg(long)]
    pub id: String,
    #[arg(long, value_enum)]
    pub role: UserRole,
    /// The facility of a facility's account
    #[arg(long, required_if_eq("role", "facility"))]
    pub facility: Option<String>,
    /// Name shown on pages
    #[arg(long)]
    pub name: String,
    #[arg(long, value_enum, default_value = "ja")]
    pub language: LanguageArg,
}

#[derive(Debug, Subcommand)]
pub enum WorklistCommand {
    List,
    Show { case: String },
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
pub struct RequestArgs {
    #[arg(long)]
    pub facility: String,
    /// Study Instance UID
    #[arg(long)]
    pub study: String,
    #[arg(long)]
    pub question: String,
    /// Telephone number for questions and critical results
    #[arg(long, default_value = "")]
    pub callback: String,
    #[arg(long, default_value = "")]
    pub physician: String,
    /// emergency, urgent or routine
    #[arg(long, default_value = "routine")]
    pub priority: String,
}

#[derive(Debug, Subcommand)]
pub enum ReportCommand {
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
pub enum JobsCommand {
    List,
    /// Put a dead job back
    Retry { job: String },
}

#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    List,
}

#[derive(Debug, Clone, Args)]
pub struct PeerArgs {
    /// HOST:PORT
    pub peer: String,
    /// AE title of the peer
    #[arg(long, default_value = "ANY-SCP")]
    pub called: String,
    /// AE title we call ourselves
    #[arg(long, default_value = "DOKUEI")]
    pub calling: String,
}

#[derive(Debug, Args)]
pub struct SendArgs {
    #[command(flatten)]
    pub peer: PeerArgs,
    /// Files and folders
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false, args = ["study", "instance"])]
pub struct ExportArgs {
    #[arg(long)]
    pub facility: String,
    /// Study Instance UID
    #[arg(long)]
    pub study: Option<String>,
    /// SOP Instance UID
    #[arg(long)]
    pub instance: Option<String>,
    pub directory: PathBuf,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    #[arg(long)]
    pub facility: String,
    pub directory: PathBuf,
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
