//! IOCM rejection notes (IHE RAD TF-3 4.66) made from nothing.

use crate::data_set::{DataSetWriter, Encoding, Tag, part10_file};

/// Key Object Selection Document Storage (PS3.4 B.5).
pub const KEY_OBJECT_SELECTION: &str = "1.2.840.10008.5.1.4.1.1.88.59";

/// A Key Object Selection whose title says why `rejects` are taken back. All fields may be changed before it is written.
#[derive(Clone, Debug)]
pub struct SyntheticRejectionNote {
    /// Of PS3.16 CID 7011, scheme DCM: `113001`, `113037`, `113038`, `113039`; any other makes it a plain key object selection.
    pub title_code: String,
    pub patient_id: Vec<u8>,
    pub patient_birth_date: String,
    pub patient_sex: String,
    /// The study the note itself is in, and the one it names instances of.
    pub study_instance_uid: String,
    pub series_instance_uid: String,
    pub sop_instance_uid: String,
    /// The series and SOP Instance UIDs of what is taken back.
    pub rejects: Vec<(String, String)>,
}

impl SyntheticRejectionNote {
    /// A note in the study of the images that it names, of the patient of [`crate::synthetic::CtImage::new`].
    pub fn new(title_code: &str, study: &str, sop_instance: &str, rejects: &[(&str, &str)]) -> Self {
        Self {
            title_code: title_code.to_owned(),
            patient_id: b"P0001".to_vec(),
            patient_birth_date: "19600401".to_owned(),
            patient_sex: "M".to_owned(),
            study_instance_uid: study.to_owned(),
            series_instance_uid: format!("{sop_instance}.1"),
            sop_instance_uid: sop_instance.to_owned(),
            rejects: rejects.iter().map(|(series, sop)| ((*series).to_owned(), (*sop).to_owned())).collect(),
        }
    }

    /// Writes the data set alone (PS3.3 A.35.4).
    pub fn data_set(&self, encoding: Encoding) -> Vec<u8> {
        let mut out = DataSetWriter::new(encoding);
        let code = |tag, value: &str, meaning: &str, out: &mut DataSetWriter| {
            out.sequence(
                tag,
                &[&|item| {
                    item.text(Tag(0x0008, 0x0100), b"SH", value).text(Tag(0x0008, 0x0102), b"SH", "DCM").text(
                        Tag(0x0008, 0x0104),
                        b"LO",
                        meaning,
                    );
                }],
            );
        };
        out.text(Tag(0x0008, 0x0016), b"UI", KEY_OBJECT_SELECTION)
            .text(Tag(0x0008, 0x0018), b"UI", &self.sop_instance_uid)
            .text(Tag(0x0008, 0x0020), b"DA", "20261122")
            .text(Tag(0x0008, 0x0023), b"DA", "20261122")
            .text(Tag(0x0008, 0x0030), b"TM", "090000")
            .text(Tag(0x0008, 0x0033), b"TM", "093000")
            .text(Tag(0x0008, 0x0050), b"SH", "A0001")
            .text(Tag(0x0008, 0x0060), b"CS", "KO")
            .text(Tag(0x0008, 0x0070), b"LO", "Dokuei testkit")
            .text(Tag(0x0008, 0x0090), b"PN", "")
            .sequence(Tag(0x0008, 0x1111), &[])
            .text(Tag(0x0010, 0x0010), b"PN", "Test^Patient")
            .element(Tag(0x0010, 0x0020), b"LO", &self.patient_id)
            .text(Tag(0x0010, 0x0030), b"DA", &self.patient_birth_date)
            .text(Tag(0x0010, 0x0040), b"CS", &self.patient_sex)
            .text(Tag(0x0020, 0x000D), b"UI", &self.study_instance_uid)
            .text(Tag(0x0020, 0x000E), b"UI", &self.series_instance_uid)
            .text(Tag(0x0020, 0x0010), b"SH", "1")
            .text(Tag(0x0020, 0x0011), b"IS", "99")
            .text(Tag(0x0020, 0x0013), b"IS", "1")
            .text(Tag(0x0040, 0xA040), b"CS", "CONTAINER");
        code(Tag(0x0040, 0xA043), &self.title_code, "Rejected", &mut out);
        out.text(Tag(0x0040, 0xA050), b"CS", "SEPARATE");
        let mut series: Vec<&str> = self.rejects.iter().map(|(series, _)| series.as_str()).collect();
        series.sort_unstable();
        series.dedup();
        let evidence = |item: &mut DataSetWriter| {
            let write_series = series.iter().map(|uid| {
                move |item: &mut DataSetWriter| {
                    let sops = self.rejects.iter().filter(|(series, _)| series == uid);
                    let sops: Vec<_> = sops.map(|(_, sop)| reference(sop)).collect();
                    let sops: Vec<&dyn Fn(&mut DataSetWriter)> = sops.iter().map(|write| write as _).collect();
                    item.sequence(Tag(0x0008, 0x1199), &sops).text(Tag(0x0020, 0x000E), b"UI", uid);
                }
            });
            let write_series: Vec<_> = write_series.collect();
            let write_series: Vec<&dyn Fn(&mut DataSetWriter)> = write_series.iter().map(|write| write as _).collect();
            item.sequence(Tag(0x0008, 0x1115), &write_series).text(
                Tag(0x0020, 0x000D),
                b"UI",
                &self.study_instance_uid,
            );
        };
        out.sequence(Tag(0x0040, 0xA375), &[&evidence]);
        let content: Vec<_> = self
            .rejects
            .iter()
            .map(|(_, sop)| {
                move |item: &mut DataSetWriter| {
                    item.sequence(Tag(0x0008, 0x1199), &[&reference(sop)])
                        .text(Tag(0x0040, 0xA010), b"CS", "CONTAINS")
                        .text(Tag(0x0040, 0xA040), b"CS", "IMAGE");
                }
            })
            .collect();
        let content: Vec<&dyn Fn(&mut DataSetWriter)> = content.iter().map(|write| write as _).collect();
        out.sequence(Tag(0x0040, 0xA730), &content);
        out.into_bytes()
    }

    /// Writes a whole Part 10 file.
    pub fn part10(&self, encoding: Encoding) -> Vec<u8> {
        let data_set = self.data_set(encoding);
        part10_file(KEY_OBJECT_SELECTION, &self.sop_instance_uid, encoding.transfer_syntax(), &data_set)
    }
}

fn reference(sop: &str) -> impl Fn(&mut DataSetWriter) {
    move |item| {
        item.text(Tag(0x0008, 0x1150), b"UI", crate::synthetic::CT_IMAGE_STORAGE).text(Tag(0x0008, 0x1155), b"UI", sop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Tool;

    #[test]
    fn other_peoples_tools_read_its_title_and_its_references() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.dcm");
        let note = SyntheticRejectionNote::new(
            "113037",
            "1.2.1",
            "1.2.1.99",
            &[("1.2.1.1", "1.2.1.1.1"), ("1.2.1.1", "1.2.1.1.2"), ("1.2.1.2", "1.2.1.2.1")],
        );
        for encoding in [Encoding::ExplicitLittleEndian, Encoding::ImplicitLittleEndian] {
            std::fs::write(&path, note.part10(encoding)).unwrap();
            let dumped = Tool::find("dcmdump").unwrap().arg(&path).run().unwrap().success();
            let text = dumped.stdout_text();
            assert!(text.contains("[113037]") && text.contains("[1.2.1.2.1]"), "{dumped}");
            assert_eq!(text.matches("[1.2.1.1.2]").count(), 2, "in the evidence and in the content: {dumped}");
        }
    }
}
