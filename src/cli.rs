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
    /// Received studies
    #[command(subcommand)]
    Study(crate::commands::study::StudyCommand),
    /// Reading cases
    #[command(subcommand)]
    Worklist(WorklistCommand),
    /// Signed reports
    #[command(subcommand)]
    Report(ReportCommand),
    /// Background work that waits or is dead
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Storage commitment: what peers have asked for and what became of it
    #[command(subcommand)]
    Commitment(CommitmentCommand),
    /// Objects that were kept aside
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Studies whose birth date or sex contradict their patient
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Send DICOM files or folders to a peer by C-STORE
    Send(SendArgs),
    /// Ask a peer for a C-ECHO
    Echo(PeerArgs),
    /// Ask a peer to answer for DICOM files that it has stored (storage commitment)
    Commit(CommitArgs),
    /// Ask a peer what it has by C-FIND
    Find(FindArgs),
    /// Write stored objects as files, byte for byte
    Export(ExportArgs),
    /// Take DICOM files of a folder or a CD into the archive; may run beside the node, and again over the same folder
    Import(ImportArgs),
    /// Make the index again from the stored objects alone; stop the node first
    RebuildIndex,
    /// How stored objects are looked after: read again, compared with the index, copied to a second place
    #[command(subcommand)]
    Storage(StorageCommand),
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
    /// Where one of its AE titles takes the results of storage commitment: dicom:AET@HOST:PORT; repeatable. Without it, where reports go to the same title
    #[arg(long = "commitment-target", value_name = "TARGET")]
    pub(crate) commitment_target: Vec<String>,
    /// Return target that is asked for storage commitment of the reports it accepts from now on; repeatable
    #[arg(long = "ask-commitment", value_name = "TARGET")]
    pub(crate) ask_commitment: Vec<String>,
    /// Return target that is asked no more; repeatable
    #[arg(long = "no-commitment", value_name = "TARGET")]
    pub(crate) no_commitment: Vec<String>,
    /// AE title whose results have no address any more; repeatable
    #[arg(long = "remove-commitment-target", value_name = "AET")]
    pub(crate) remove_commitment_target: Vec<String>,
    /// Certificate (PEM) with which its equipment comes over TLS; repeatable. Then it must come with one
    #[arg(long = "add-certificate", value_name = "FILE")]
    pub(crate) add_certificate: Vec<PathBuf>,
    /// The only AE title that may use the added certificates
    #[arg(long = "certificate-aet", value_name = "AET", requires = "add_certificate")]
    pub(crate) certificate_aet: Option<String>,
    /// Fingerprint of a certificate that does not stand for it any more; repeatable
    #[arg(long = "remove-certificate", value_name = "SHA256")]
    pub(crate) remove_certificate: Vec<String>,
    /// Let it come without a certificate although it has some; --allow-plain=false ends that
    #[arg(long = "allow-plain", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) allow_plain: Option<bool>,
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
pub(crate) enum CommitmentCommand {
    /// List requests, newest first
    List {
        /// Only those whose result the peer has not got
        #[arg(long)]
        unanswered: bool,
    },
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
    /// Objects that wait for a decision
    List {
        /// Those decided on as well
        #[arg(long)]
        all: bool,
    },
    /// One object beside what is stored, and whether it can be released
    Show { object: String },
    /// File the object, as far as the rules allow it now
    Release {
        object: String,
        #[arg(long)]
        reason: String,
    },
    /// Keep the object for the audit and show it nowhere
    Reject {
        object: String,
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Studies whose birth date or sex contradict their patient, and that wait for a decision
    List,
    /// Both versions of the patient
    Show { hold: String },
    /// Say whose study it is
    Decide {
        hold: String,
        decision: IdentityDecision,
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum IdentityDecision {
    /// It goes on as it is
    SamePerson,
    /// It gets a patient of its own, without priors
    AnotherPerson,
    /// It is hidden like a withdrawn study
    Reject,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// Damages, free space, and where the walks over all objects are
    Status,
    /// Read every object again now and compare its hash, here and in the second copy
    Scrub,
    /// Compare index and store now: adopt what the index lacks, report what the store lacks
    Reconcile,
    /// Put the sound blob of the other place where a damaged or missing one is
    Repair {
        /// A damage as `dokuei storage status` names it; without it all
        damage: Option<String>,
    },
    /// Fill a new second place from the beginning, after the old one was replaced
    RestartCopy,
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
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CommitArgs {
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    /// Files or folders whose objects are asked about
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Seconds to keep the association open for the answer
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) wait: u32,
}

/// DICOM over TLS to a peer.
#[derive(Debug, Clone, Args)]
pub(crate) struct TlsArgs {
    /// Speak DICOM over TLS
    #[arg(long, requires = "ca")]
    pub(crate) tls: bool,
    /// Authorities of the peer's certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) ca: Option<PathBuf>,
    /// Certificate to show (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["tls", "key"])]
    pub(crate) cert: Option<PathBuf>,
    /// Key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Name that the peer's certificate must have, if it is not HOST
    #[arg(long, value_name = "NAME", requires = "tls")]
    pub(crate) server_name: Option<String>,
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
pub(crate) struct FindArgs {
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    #[arg(long, value_enum, default_value = "study", ignore_case = true)]
    pub(crate) level: QueryLevel,
    /// What to look for, such as PatientID=12* or StudyDate=20260101-20260131; without a value, what to show beside the usual. Repeatable
    #[arg(short = 'k', long = "match", value_name = "KEYWORD[=VALUE]")]
    pub(crate) keys: Vec<String>,
    /// Most matches to take
    #[arg(long, default_value_t = 1000)]
    pub(crate) limit: usize,
    /// Character set of values that are not ASCII, as in Specific Character Set
    #[arg(long, value_name = "TERMS", default_value = "ISO_IR 192")]
    pub(crate) charset: String,
}

/// What one match is.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum QueryLevel {
    Patient,
    Study,
    Series,
    Image,
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
    /// Facility whose studies they are
    #[arg(long)]
    pub(crate) facility: String,
    /// AE title that is noted as their sender
    #[arg(long, value_name = "AET", default_value = "IMPORT")]
    pub(crate) calling: String,
    /// Open cases: the studies are to be read. Without it they are earlier examinations
    #[arg(long)]
    pub(crate) read: bool,
    /// Take every file although the folder has a DICOMDIR
    #[arg(long)]
    pub(crate) ignore_dicomdir: bool,
    /// A folder, a CD with its DICOMDIR, or one file
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
