//! The attributes that can be asked for by keyword (PS3.4 C.6.1 and C.6.2, PS3.6).

use dokuei_dataset::{Tag, Vr};

/// One attribute.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) keyword: &'static str,
    pub(super) tag: Tag,
    pub(super) vr: Vr,
}

macro_rules! keys {
    ($($keyword:ident $group:literal $element:literal $vr:ident;)*) => {
        &[$(Key { keyword: stringify!($keyword), tag: Tag($group, $element), vr: Vr::$vr }),*]
    };
}

const KEYS: &[Key] = keys! {
    SOPClassUID 0x0008 0x0016 UI;
    SOPInstanceUID 0x0008 0x0018 UI;
    StudyDate 0x0008 0x0020 DA;
    SeriesDate 0x0008 0x0021 DA;
    AcquisitionDate 0x0008 0x0022 DA;
    ContentDate 0x0008 0x0023 DA;
    StudyTime 0x0008 0x0030 TM;
    SeriesTime 0x0008 0x0031 TM;
    ContentTime 0x0008 0x0033 TM;
    AccessionNumber 0x0008 0x0050 SH;
    RetrieveAETitle 0x0008 0x0054 AE;
    InstanceAvailability 0x0008 0x0056 CS;
    Modality 0x0008 0x0060 CS;
    ModalitiesInStudy 0x0008 0x0061 CS;
    SOPClassesInStudy 0x0008 0x0062 UI;
    Manufacturer 0x0008 0x0070 LO;
    InstitutionName 0x0008 0x0080 LO;
    ReferringPhysicianName 0x0008 0x0090 PN;
    TimezoneOffsetFromUTC 0x0008 0x0201 SH;
    StationName 0x0008 0x1010 SH;
    StudyDescription 0x0008 0x1030 LO;
    SeriesDescription 0x0008 0x103e LO;
    InstitutionalDepartmentName 0x0008 0x1040 LO;
    NameOfPhysiciansReadingStudy 0x0008 0x1060 PN;
    RetrieveURL 0x0008 0x1190 UR;
    PatientName 0x0010 0x0010 PN;
    PatientID 0x0010 0x0020 LO;
    IssuerOfPatientID 0x0010 0x0021 LO;
    PatientBirthDate 0x0010 0x0030 DA;
    PatientBirthTime 0x0010 0x0032 TM;
    PatientSex 0x0010 0x0040 CS;
    OtherPatientNames 0x0010 0x1001 PN;
    PatientAge 0x0010 0x1010 AS;
    PatientComments 0x0010 0x4000 LT;
    BodyPartExamined 0x0018 0x0015 CS;
    ProtocolName 0x0018 0x1030 LO;
    StudyInstanceUID 0x0020 0x000d UI;
    SeriesInstanceUID 0x0020 0x000e UI;
    StudyID 0x0020 0x0010 SH;
    SeriesNumber 0x0020 0x0011 IS;
    InstanceNumber 0x0020 0x0013 IS;
    Laterality 0x0020 0x0060 CS;
    NumberOfPatientRelatedStudies 0x0020 0x1200 IS;
    NumberOfPatientRelatedSeries 0x0020 0x1202 IS;
    NumberOfPatientRelatedInstances 0x0020 0x1204 IS;
    NumberOfStudyRelatedSeries 0x0020 0x1206 IS;
    NumberOfStudyRelatedInstances 0x0020 0x1208 IS;
    NumberOfSeriesRelatedInstances 0x0020 0x1209 IS;
    NumberOfFrames 0x0028 0x0008 IS;
    PerformedProcedureStepStartDate 0x0040 0x0244 DA;
    PerformedProcedureStepStartTime 0x0040 0x0245 TM;
};

impl Key {
    /// By keyword, or by group and element as eight hexadecimal digits.
    pub(super) fn named(text: &str) -> anyhow::Result<&'static Self> {
        let tag = u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 8);
        let known = KEYS.iter().find(|key| key.keyword.eq_ignore_ascii_case(text) || Some(number(key.tag)) == tag);
        known.ok_or_else(|| {
            let all: Vec<_> = KEYS.iter().map(|key| key.keyword).collect();
            anyhow::anyhow!("'{text}' is not a key; known are {}", all.join(", "))
        })
    }

    pub(super) fn of(tag: Tag) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.tag == tag)
    }

    /// The keyword, or group and element as eight hexadecimal digits.
    pub(super) fn name_of(tag: Tag) -> String {
        Self::of(tag).map_or_else(|| format!("{:08X}", number(tag)), |key| key.keyword.to_owned())
    }
}

fn number(Tag(group, element): Tag) -> u32 {
    u32::from(group) << 16 | u32::from(element)
}
