//! IOCM rejection notes (IHE RAD TF-3 4.66): Key Object Selection documents (PS3.3 A.35.4) whose title takes instances back.
//!
//! Read while the object arrives, beside the head: the title, and the instances that the evidence (PS3.3 C.17.6.2.1) lists.

use dokuei_domain::{SopClassUid, SopInstanceUid, StudyUid, TransferSyntaxUid};

use crate::{
    encoding::DataSetEncoding,
    head::HeadError,
    inflate::Inflater,
    tag::{self, Tag},
    tokenizer::{Element, Sink, Tokenizer, TokenizerLimits, Want},
    vr::Vr,
};

/// Key Object Selection Document Storage.
pub const KEY_OBJECT_SELECTION: &str = "1.2.840.10008.5.1.4.1.1.88.59";

/// Instances that one note may name. A study of more is taken back with several.
pub const MAX_REFERENCES: usize = 50_000;

/// What a deflated note may inflate to: room for the most references twice over.
const INFLATED_BYTES: u64 = 64 << 20;

/// Why instances are taken back (PS3.16 CID 7011, scheme DCM).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectionTitle {
    /// 113001 Rejected for Quality Reasons.
    Quality,
    /// 113037 Rejected for Patient Safety Reasons.
    PatientSafety,
    /// 113038 Incorrect Modality Worklist Entry.
    IncorrectWorklistEntry,
    /// 113039 Data Retention Policy Expired.
    RetentionExpired,
}

impl RejectionTitle {
    pub const ALL: [Self; 4] =
        [Self::Quality, Self::PatientSafety, Self::IncorrectWorklistEntry, Self::RetentionExpired];

    pub const fn code(self) -> &'static str {
        match self {
            Self::Quality => "113001",
            Self::PatientSafety => "113037",
            Self::IncorrectWorklistEntry => "113038",
            Self::RetentionExpired => "113039",
        }
    }

    /// The code's meaning in PS3.16.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Quality => "Rejected for Quality Reasons",
            Self::PatientSafety => "Rejected for Patient Safety Reasons",
            Self::IncorrectWorklistEntry => "Incorrect Modality Worklist Entry",
            Self::RetentionExpired => "Data Retention Policy Expired",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|title| title.code() == code)
    }
}

/// One instance that a note takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedReference {
    pub study: StudyUid,
    pub sop_instance: SopInstanceUid,
}

/// A note that takes instances back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectionNote {
    pub title: RejectionTitle,
    pub references: Vec<RejectedReference>,
}

/// Whether an object of this class may be a rejection note.
pub fn may_be_rejection_note(class: &SopClassUid) -> bool {
    class.as_str() == KEY_OBJECT_SELECTION
}

/// Reads a note from bytes that arrive in chunks of any size. Memory is bounded by [`MAX_REFERENCES`].
#[derive(Debug)]
pub struct RejectionNoteReader {
    inflater: Option<Inflater>,
    tokenizer: Tokenizer,
    collector: Collector,
    failed: Option<HeadError>,
}

impl RejectionNoteReader {
    pub fn new(transfer_syntax: &TransferSyntaxUid) -> Self {
        let encoding = DataSetEncoding::of(transfer_syntax);
        Self {
            inflater: encoding.deflated.then(|| Inflater::new(INFLATED_BYTES)),
            tokenizer: Tokenizer::new(encoding.elements, TokenizerLimits::default()),
            collector: Collector::default(),
            failed: None,
        }
    }

    /// Takes the next bytes of the data set. An error is kept for [`Self::finish`].
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        let Self { inflater, tokenizer, collector, .. } = self;
        let pushed = match inflater {
            None => tokenizer.push(bytes, collector).map_err(HeadError::from),
            Some(inflater) => {
                let mut outcome = Ok(());
                let inflated = inflater.push(bytes, &mut |inflated| {
                    outcome = tokenizer.push(inflated, collector).map_err(HeadError::from);
                    outcome.is_ok()
                });
                inflated.map_err(HeadError::from).and(outcome)
            }
        };
        let too_many = self.collector.references.len() + self.collector.pending.len() > MAX_REFERENCES;
        self.failed = pushed.err().or_else(|| too_many.then_some(HeadError::TooLong { limit: MAX_REFERENCES }));
    }

    /// All bytes were pushed. `None`: a key object selection of another purpose.
    ///
    /// # Errors
    ///
    /// As the data set cannot be walked through, or names more than [`MAX_REFERENCES`] instances.
    pub fn finish(self) -> Result<Option<RejectionNote>, HeadError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Some(inflater) = &self.inflater {
            inflater.finish()?;
        }
        self.tokenizer.finish()?;
        let Collector { code, scheme, references, .. } = self.collector;
        let title = if scheme == "DCM" { RejectionTitle::from_code(&code) } else { None };
        Ok(title.map(|title| RejectionNote { title, references }))
    }
}

#[derive(Debug, Default)]
struct Collector {
    /// The tags of the sequences around the current element, outermost first, then its own.
    path: Vec<Tag>,
    /// Items of the document's title seen so far: only the first counts.
    title_items: u32,
    code: String,
    scheme: String,
    /// Of the current item of the evidence. Its study stands behind its series in the data set.
    study: Option<StudyUid>,
    pending: Vec<SopInstanceUid>,
    references: Vec<RejectedReference>,
}

const EVIDENCE: Tag = tag::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE;

impl Collector {
    fn inside(&self) -> &[Tag] {
        self.path.split_last().map_or(&[], |(_, around)| around)
    }
}

impl Sink for Collector {
    fn element(&mut self, element: &Element) -> Want {
        let Element { tag, vr, depth, .. } = *element;
        self.path.truncate(depth);
        self.path.push(tag);
        let items = if matches!(vr, None | Some(Vr::SQ)) { Want::Items } else { Want::Nothing };
        match (self.inside(), tag) {
            (&[], tag::CONCEPT_NAME_CODE_SEQUENCE) => {
                self.title_items = 0;
                items
            }
            (&[], EVIDENCE)
            | (&[EVIDENCE], tag::REFERENCED_SERIES_SEQUENCE)
            | (&[EVIDENCE, tag::REFERENCED_SERIES_SEQUENCE], tag::REFERENCED_SOP_SEQUENCE) => items,
            (&[tag::CONCEPT_NAME_CODE_SEQUENCE], tag::CODE_VALUE | tag::CODING_SCHEME_DESIGNATOR)
                if self.title_items == 1 =>
            {
                Want::Value
            }
            (&[EVIDENCE], tag::STUDY_INSTANCE_UID)
            | (
                &[EVIDENCE, tag::REFERENCED_SERIES_SEQUENCE, tag::REFERENCED_SOP_SEQUENCE],
                tag::REFERENCED_SOP_INSTANCE_UID,
            ) => Want::Value,
            _ => Want::Nothing,
        }
    }

    fn value(&mut self, element: &Element, value: &[u8]) {
        match element.tag {
            tag::CODE_VALUE => self.code = plain(value),
            tag::CODING_SCHEME_DESIGNATOR => self.scheme = plain(value),
            tag::STUDY_INSTANCE_UID => self.study = StudyUid::parse_padded(value).ok(),
            _ if self.references.len() + self.pending.len() <= MAX_REFERENCES => {
                self.pending.extend(SopInstanceUid::parse_padded(value).ok());
            }
            _ => {}
        }
    }

    fn item_start(&mut self, depth: usize) {
        match (depth, self.path.first()) {
            (1, Some(&tag::CONCEPT_NAME_CODE_SEQUENCE)) => self.title_items = self.title_items.saturating_add(1),
            (1, Some(&EVIDENCE)) => {
                self.study = None;
                self.pending.clear();
            }
            _ => {}
        }
    }

    fn item_end(&mut self, depth: usize) {
        if depth != 1 || self.path.first() != Some(&EVIDENCE) {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        if let Some(study) = self.study.take() {
            let referenced = |sop_instance| RejectedReference { study: study.clone(), sop_instance };
            self.references.extend(pending.into_iter().map(referenced));
        }
    }
}

/// An SH of the default repertoire.
fn plain(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::{DataSetWriter, Item};

    fn references(uids: &[&str]) -> Item {
        let sops = uids.iter().map(|uid| {
            let mut sop = Item::new();
            sop.text(tag::REFERENCED_SOP_INSTANCE_UID, Vr::UI, uid);
            sop
        });
        let mut series = Item::new();
        series.text(tag::SERIES_INSTANCE_UID, Vr::UI, "1.9").items(tag::REFERENCED_SOP_SEQUENCE, sops.collect());
        series
    }

    fn note(code: &str, scheme: &str) -> Vec<u8> {
        let mut title = Item::new();
        title.text(tag::CODE_VALUE, Vr::SH, code).text(tag::CODING_SCHEME_DESIGNATOR, Vr::SH, scheme);
        let study = |uid: &str, series: Vec<Item>| {
            let mut study = Item::new();
            study.items(tag::REFERENCED_SERIES_SEQUENCE, series).text(tag::STUDY_INSTANCE_UID, Vr::UI, uid);
            study
        };
        // A content item has a title too, and references that are no evidence.
        let mut content_title = Item::new();
        content_title.text(tag::CODE_VALUE, Vr::SH, "113012").text(tag::CODING_SCHEME_DESIGNATOR, Vr::SH, "DCM");
        let mut content = references(&["1.2.77"]);
        content.item(tag::CONCEPT_NAME_CODE_SEQUENCE, content_title);
        let evidence = vec![
            study("1.2.1", vec![references(&["1.2.1.1", "1.2.1.2"]), references(&["1.2.1.3"])]),
            study("1.2.2", vec![references(&["1.2.2.1"])]),
        ];
        DataSetWriter::new()
            .text(tag::STUDY_INSTANCE_UID, Vr::UI, "1.2.3")
            .item(tag::CONCEPT_NAME_CODE_SEQUENCE, title)
            .items(EVIDENCE, evidence)
            .item(tag::CONTENT_SEQUENCE, content)
            .encode()
            .unwrap()
    }

    fn read(bytes: &[u8], chunk: usize) -> Result<Option<RejectionNote>, HeadError> {
        let mut reader = RejectionNoteReader::new(&TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap());
        bytes.chunks(chunk).for_each(|chunk| reader.push(chunk));
        reader.finish()
    }

    #[test]
    fn a_note_names_its_title_and_the_instances_of_every_study() {
        for title in RejectionTitle::ALL {
            for chunk in [1, 7, 1000] {
                let note = read(&note(title.code(), "DCM"), chunk).unwrap().unwrap();
                assert_eq!(note.title, title);
                let named: Vec<_> = note
                    .references
                    .iter()
                    .map(|reference| (reference.study.as_str(), reference.sop_instance.as_str()))
                    .collect();
                let expected = [("1.2.1", "1.2.1.1"), ("1.2.1", "1.2.1.2"), ("1.2.1", "1.2.1.3"), ("1.2.2", "1.2.2.1")];
                assert_eq!(named, expected);
            }
        }
    }

    #[test]
    fn a_key_object_selection_of_another_purpose_takes_nothing_back() {
        assert_eq!(read(&note("113000", "DCM"), 1000).unwrap(), None);
        assert_eq!(read(&note("113001", "99LOCAL"), 1000).unwrap(), None);
    }

    #[test]
    fn a_broken_note_is_an_error() {
        let whole = note("113001", "DCM");
        assert!(read(&whole[..whole.len() - 5], 1000).is_err());
    }
}
