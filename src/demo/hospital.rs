//! The demonstration hospital: it owns a real CT, puts a synthetic identity in, sends it, and has a PACS of its own that takes the report.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use bytes::Bytes;
use dokuei_dataset::{
    Tag, Vr,
    edit::{Edit, splice},
    part10::{self, FileMeta},
};
use dokuei_dimse::{
    Admission, AssociationRequest, BoundServer, Decision, Handlers, Part10File, RequestorTimeouts, Server,
    ServerConfig, Status, Stop, StoragePolicy, StoreRequest, StoreService, StoreSink, Target, send_objects,
};
use dokuei_domain::{AeTitle, Ambient, SeriesUid, SopInstanceUid, StudyUid, Uid};

/// AE title of the hospital's sender.
pub(crate) const SENDER: &str = "HOSP1";
/// AE title of the hospital's archive.
pub(crate) const ARCHIVE: &str = "HOSP1PACS";

/// A person who does not exist. The names are those of a form's example.
pub(crate) struct Identity {
    pub(crate) patient_id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) birth_date: &'static str,
    pub(crate) sex: &'static str,
}

pub(crate) const PATIENT: Identity = Identity {
    patient_id: "0001234567",
    name: "Yamada^Taro=山田^太郎=やまだ^たろう",
    birth_date: "19500314",
    sex: "M",
};

/// A study made ready to be sent.
pub(crate) struct PreparedStudy {
    pub(crate) study: StudyUid,
    pub(crate) files: Vec<PathBuf>,
}

/// Puts the identity into every file of `source` and writes the result to `target`. Pixels and all other elements stay as they are; the study, its series
/// and its instances get UIDs of their own, because to another patient's they must not belong.
pub(crate) fn prepare(source: &Path, target: &Path, ambient: &Ambient, today: &str) -> anyhow::Result<PreparedStudy> {
    std::fs::create_dir_all(target).with_context(|| format!("cannot make {}", target.display()))?;
    let study = StudyUid::new(ambient.new_uid());
    let series = SeriesUid::new(ambient.new_uid());
    let mut names: Vec<_> = std::fs::read_dir(source)
        .with_context(|| {
            format!("the demonstration needs the images in {}; run it from a clone of the project", source.display())
        })?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "dcm"))
        .collect();
    names.sort();
    let mut files = Vec::with_capacity(names.len());
    for path in names {
        let bytes = std::fs::read(&path)?;
        let instance = SopInstanceUid::new(ambient.new_uid());
        let file = with_identity(&bytes, &study, &series, &instance, today)
            .with_context(|| format!("cannot prepare {}", path.display()))?;
        let out = target.join(path.file_name().context("a file without a name")?);
        std::fs::write(&out, file)?;
        files.push(out);
    }
    anyhow::ensure!(!files.is_empty(), "no DICOM files in {}", source.display());
    Ok(PreparedStudy { study, files })
}

fn with_identity(
    file: &[u8],
    study: &StudyUid,
    series: &SeriesUid,
    instance: &SopInstanceUid,
    today: &str,
) -> anyhow::Result<Vec<u8>> {
    let (meta, offset) = part10::parse_header(file)?;
    let uid = |text: &str| text.as_bytes().to_vec();
    let utf8 = dokuei_charset::SpecificCharacterSet::utf8();
    let edits = [
        Edit::set(Tag(0x0008, 0x0005), Vr::CS, b"ISO_IR 192".to_vec()),
        Edit::set(Tag(0x0008, 0x0018), Vr::UI, uid(instance.as_str())),
        Edit::set(Tag(0x0008, 0x0020), Vr::DA, today.as_bytes().to_vec()),
        Edit::set(Tag(0x0008, 0x0030), Vr::TM, b"090000".to_vec()),
        Edit::set(Tag(0x0008, 0x0050), Vr::SH, b"A0000001".to_vec()),
        Edit::set(Tag(0x0008, 0x1030), Vr::LO, utf8.encode_values(&["頭部単純CT"])?),
        Edit::set(Tag(0x0010, 0x0010), Vr::PN, utf8.encode_person_name(PATIENT.name)?),
        Edit::set(Tag(0x0010, 0x0020), Vr::LO, PATIENT.patient_id.as_bytes().to_vec()),
        Edit::set(Tag(0x0010, 0x0030), Vr::DA, PATIENT.birth_date.as_bytes().to_vec()),
        Edit::set(Tag(0x0010, 0x0040), Vr::CS, PATIENT.sex.as_bytes().to_vec()),
        Edit::set(Tag(0x0018, 0x0015), Vr::CS, b"HEAD".to_vec()),
        Edit::set(Tag(0x0020, 0x000D), Vr::UI, uid(study.as_str())),
        Edit::set(Tag(0x0020, 0x0010), Vr::SH, b"1".to_vec()),
        Edit::set(Tag(0x0020, 0x000E), Vr::UI, uid(series.as_str())),
    ];
    let data_set = splice(&file[offset..], &meta.transfer_syntax, &edits)?;
    let header = part10::build_header(&FileMeta {
        sop_class: meta.sop_class.context("the file does not name its SOP class")?,
        sop_instance: instance.clone(),
        transfer_syntax: meta.transfer_syntax,
        source_ae_title: Some(AeTitle::parse(SENDER)?),
        receipt: None,
    });
    Ok([header, data_set].concat())
}

/// Sends the study to the node by C-STORE.
pub(crate) async fn send(
    study: &PreparedStudy,
    node: std::net::SocketAddr,
    node_title: &AeTitle,
) -> anyhow::Result<()> {
    let mut objects = Vec::with_capacity(study.files.len());
    for path in &study.files {
        objects.push(Part10File::open(path).await?);
    }
    let target = Target {
        address: node.to_string(),
        calling: AeTitle::parse(SENDER)?,
        called: node_title.clone(),
        timeouts: RequestorTimeouts::default(),
        tls: None,
    };
    let report = send_objects(&target, objects, &tokio_util::sync::CancellationToken::new(), |_, _| {}).await;
    anyhow::ensure!(
        report.all_accepted(),
        "the node did not take all images: {:?} {:?}",
        report.error,
        report.outcomes
    );
    Ok(())
}

/// The hospital's archive: a C-STORE server that keeps every object as a file in a folder.
pub(crate) struct HospitalArchive {
    server: BoundServer,
    folder: PathBuf,
}

impl HospitalArchive {
    /// Takes a free port on loopback.
    pub(crate) async fn bind(folder: PathBuf, port: u16) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let server = Server::bind(("127.0.0.1", port), ServerConfig::default()).await?;
        Ok(Self { server, folder })
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.server.local_addr()
    }

    pub(crate) async fn serve(self, stop: Stop) {
        let handlers = Handlers {
            admission: Anybody,
            policy: Box::new(StoragePolicy),
            store: FolderStore { folder: self.folder },
            normalized: Arc::new(()),
            query: Arc::new(()),
            observer: Box::new(()),
        };
        self.server.serve(handlers, stop).await;
    }
}

struct Anybody;

impl Admission for Anybody {
    type Session = ();

    async fn admit(&self, _: &AssociationRequest) -> Decision<()> {
        Decision::Accept(())
    }
}

struct FolderStore {
    folder: PathBuf,
}

/// One received file, written under a temporary name until it is whole.
struct FolderSink {
    partial: PathBuf,
    whole: PathBuf,
    file: tokio::fs::File,
}

impl StoreService<()> for FolderStore {
    type Sink = FolderSink;

    async fn begin(&self, _: &Arc<()>, request: StoreRequest) -> Result<FolderSink, Status> {
        use tokio::io::AsyncWriteExt as _;
        let name = Uid::parse(request.sop_instance.as_str()).map_err(|_| Status::CANNOT_UNDERSTAND)?;
        let whole = self.folder.join(format!("{name}.dcm"));
        let partial = whole.with_extension("part");
        let header = part10::build_header(&FileMeta {
            sop_class: request.sop_class,
            sop_instance: request.sop_instance,
            transfer_syntax: request.transfer_syntax,
            source_ae_title: None,
            receipt: None,
        });
        let mut file = tokio::fs::File::create(&partial).await.map_err(|_| Status::OUT_OF_RESOURCES)?;
        file.write_all(&header).await.map_err(|_| Status::OUT_OF_RESOURCES)?;
        Ok(FolderSink { partial, whole, file })
    }
}

impl StoreSink for FolderSink {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Status> {
        use tokio::io::AsyncWriteExt as _;
        self.file.write_all(&bytes).await.map_err(|_| Status::OUT_OF_RESOURCES)
    }

    async fn finish(self) -> Status {
        let kept = async {
            self.file.sync_all().await?;
            tokio::fs::rename(&self.partial, &self.whole).await
        };
        match kept.await {
            Ok(()) => Status::SUCCESS,
            Err(_) => Status::OUT_OF_RESOURCES,
        }
    }
}
