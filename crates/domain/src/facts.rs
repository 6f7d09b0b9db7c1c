//! What the index keeps of one instance: facts of its header, decoded.

use serde::{Deserialize, Serialize};

use crate::{PersonName, SeriesUid, SopClassUid, SopInstanceUid, StudyUid, TransferSyntaxUid};

/// Facts of one instance, taken from its data set before the pixel data. Texts are decoded from their declared character set; absent or
/// empty elements are empty strings or `None`. Dates and times stay as DICOM wrote them (DA `YYYYMMDD`, TM `HHMMSS.F`): they have no zone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InstanceFacts {
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
    pub transfer_syntax: TransferSyntaxUid,
    pub study: StudyUid,
    pub series: SeriesUid,
    pub patient: PatientFacts,
    pub accession_number: String,
    pub study_date: String,
    pub study_time: String,
    pub study_id: String,
    pub study_description: String,
    pub referring_physician: PersonName,
    pub modality: String,
    pub series_number: Option<i32>,
    pub series_description: String,
    pub body_part: String,
    pub instance_number: Option<i32>,
    pub number_of_frames: Option<u32>,
    pub rows: Option<u32>,
    pub columns: Option<u32>,
    /// Position along the slice normal in mm, from Image Position and Orientation (Patient), for ordering a stack.
    pub slice_position: Option<f64>,
    /// (0028,1050) and (0028,1051), first values.
    pub window: Option<(f64, f64)>,
    /// The text did not fit its declared character set and was repaired for display; the stored bytes are untouched.
    pub charset_repaired: bool,
}

/// The patient as the instance names them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PatientFacts {
    pub id: String,
    /// Issuer of Patient ID (0010,0021), or the universal entity ID of its qualifiers (0010,0024).
    pub issuer: String,
    pub name: PersonName,
    /// (0010,0030) as written.
    pub birth_date: String,
    /// (0010,0040) as written.
    pub sex: String,
}
