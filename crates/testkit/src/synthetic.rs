//! Small valid DICOM objects made from nothing, for tests that need one with a given identity.

use dokuei_domain::Entropy;

use crate::data_set::{DataSetWriter, Encoding, Tag, part10_file};

/// CT Image Storage (PS3.4 B.5).
pub const CT_IMAGE_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2";

/// The Specific Character Set of [`YAMADA_TARO_NAME`]: kanji by code extension (PS3.3 C.12.1.1.2).
pub const YAMADA_TARO_CHARACTER_SET: &str = r"\ISO 2022 IR 87";

/// `Yamada^Taro=山田^太郎=やまだ^たろう` in ISO-2022-JP, as a Japanese scanner writes it (PS3.5 H.3.1).
pub const YAMADA_TARO_NAME: &[u8] =
    b"Yamada^Taro=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B";

/// [`YAMADA_TARO_NAME`] as text.
pub const YAMADA_TARO_TEXT: &str = "Yamada^Taro=山田^太郎=やまだ^たろう";

/// A UID under the UUID root (PS3.5 B.2).
pub fn new_uid(entropy: &dyn Entropy) -> String {
    let mut random = [0; 16];
    entropy.fill(&mut random);
    format!("2.25.{}", uuid::Builder::from_random_bytes(random).into_uuid().as_u128())
}

/// One slice of a CT with a square matrix of 16 bit pixels. All fields may be changed before it is written.
#[derive(Clone, Debug)]
pub struct CtImage {
    /// Left out when `None`.
    pub specific_character_set: Option<String>,
    /// In the bytes of `specific_character_set`.
    pub patient_name: Vec<u8>,
    pub patient_id: Vec<u8>,
    /// `YYYYMMDD`.
    pub patient_birth_date: String,
    pub patient_sex: String,
    pub study_instance_uid: String,
    pub series_instance_uid: String,
    pub sop_instance_uid: String,
    /// Must differ from the other UIDs. The series' UID and `.1` unless changed.
    pub frame_of_reference_uid: String,
    pub accession_number: Vec<u8>,
    pub study_description: Vec<u8>,
    pub series_number: u32,
    pub instance_number: u32,
    /// Rows and columns.
    pub size: u16,
}

impl CtImage {
    /// A 16 by 16 slice of a patient with an ASCII name and the ID `P0001`.
    pub fn new(study_instance_uid: &str, series_instance_uid: &str, sop_instance_uid: &str) -> Self {
        Self {
            specific_character_set: Some("ISO_IR 100".to_owned()),
            patient_name: b"Test^Patient".to_vec(),
            patient_id: b"P0001".to_vec(),
            patient_birth_date: "19600401".to_owned(),
            patient_sex: "M".to_owned(),
            study_instance_uid: study_instance_uid.to_owned(),
            series_instance_uid: series_instance_uid.to_owned(),
            sop_instance_uid: sop_instance_uid.to_owned(),
            frame_of_reference_uid: format!("{series_instance_uid}.1"),
            accession_number: b"A0001".to_vec(),
            study_description: b"HEAD".to_vec(),
            series_number: 1,
            instance_number: 1,
            size: 16,
        }
    }

    /// `count` slices of one new study and series, numbered from 1.
    pub fn series(count: u32, entropy: &dyn Entropy) -> Vec<Self> {
        let (study, series) = (new_uid(entropy), new_uid(entropy));
        let slice = |number| Self { instance_number: number, ..Self::new(&study, &series, &new_uid(entropy)) };
        (1..=count).map(slice).collect()
    }

    /// The same image of another patient.
    pub fn with_patient(mut self, id: impl Into<Vec<u8>>, name: impl Into<Vec<u8>>, character_set: &str) -> Self {
        self.patient_id = id.into();
        self.patient_name = name.into();
        self.specific_character_set = Some(character_set.to_owned());
        self
    }

    /// The same image of somebody born on that day (`YYYYMMDD`) and of that sex.
    pub fn born(mut self, birth_date: &str, sex: &str) -> Self {
        self.patient_birth_date = birth_date.to_owned();
        self.patient_sex = sex.to_owned();
        self
    }

    /// Writes the data set alone, as it goes over an association (PS3.3 A.3).
    pub fn data_set(&self, encoding: Encoding) -> Vec<u8> {
        let mut out = DataSetWriter::new(encoding);
        if let Some(character_set) = &self.specific_character_set {
            out.text(Tag(0x0008, 0x0005), b"CS", character_set);
        }
        out.text(Tag(0x0008, 0x0008), b"CS", r"ORIGINAL\PRIMARY\AXIAL")
            .text(Tag(0x0008, 0x0016), b"UI", CT_IMAGE_STORAGE)
            .text(Tag(0x0008, 0x0018), b"UI", &self.sop_instance_uid)
            .text(Tag(0x0008, 0x0020), b"DA", "20261122")
            .text(Tag(0x0008, 0x0022), b"DA", "20261122")
            .text(Tag(0x0008, 0x0023), b"DA", "20261122")
            .text(Tag(0x0008, 0x0030), b"TM", "090000")
            .text(Tag(0x0008, 0x0032), b"TM", "090000")
            .text(Tag(0x0008, 0x0033), b"TM", "090000")
            .element(Tag(0x0008, 0x0050), b"SH", &self.accession_number)
            .text(Tag(0x0008, 0x0060), b"CS", "CT")
            .text(Tag(0x0008, 0x0070), b"LO", "Dokuei testkit")
            .text(Tag(0x0008, 0x0090), b"PN", "")
            .element(Tag(0x0008, 0x1030), b"LO", &self.study_description)
            .element(Tag(0x0010, 0x0010), b"PN", &self.patient_name)
            .element(Tag(0x0010, 0x0020), b"LO", &self.patient_id)
            .text(Tag(0x0010, 0x0030), b"DA", &self.patient_birth_date)
            .text(Tag(0x0010, 0x0040), b"CS", &self.patient_sex)
            .text(Tag(0x0018, 0x0015), b"CS", "HEAD")
            .text(Tag(0x0018, 0x0050), b"DS", "5")
            .text(Tag(0x0018, 0x0060), b"DS", "120")
            .text(Tag(0x0018, 0x5100), b"CS", "HFS")
            .text(Tag(0x0020, 0x000D), b"UI", &self.study_instance_uid)
            .text(Tag(0x0020, 0x000E), b"UI", &self.series_instance_uid)
            .text(Tag(0x0020, 0x0010), b"SH", "1")
            .text(Tag(0x0020, 0x0011), b"IS", &self.series_number.to_string())
            .text(Tag(0x0020, 0x0012), b"IS", "1")
            .text(Tag(0x0020, 0x0013), b"IS", &self.instance_number.to_string())
            .text(Tag(0x0020, 0x0032), b"DS", &format!(r"0\0\{}", self.instance_number * 5))
            .text(Tag(0x0020, 0x0037), b"DS", r"1\0\0\0\1\0")
            .text(Tag(0x0020, 0x0052), b"UI", &self.frame_of_reference_uid)
            .text(Tag(0x0020, 0x1040), b"LO", "")
            .unsigned_short(Tag(0x0028, 0x0002), 1)
            .text(Tag(0x0028, 0x0004), b"CS", "MONOCHROME2")
            .unsigned_short(Tag(0x0028, 0x0010), self.size)
            .unsigned_short(Tag(0x0028, 0x0011), self.size)
            .text(Tag(0x0028, 0x0030), b"DS", r"1\1")
            .unsigned_short(Tag(0x0028, 0x0100), 16)
            .unsigned_short(Tag(0x0028, 0x0101), 12)
            .unsigned_short(Tag(0x0028, 0x0102), 11)
            .unsigned_short(Tag(0x0028, 0x0103), 0)
            .text(Tag(0x0028, 0x1050), b"DS", "40")
            .text(Tag(0x0028, 0x1051), b"DS", "80")
            .text(Tag(0x0028, 0x1052), b"DS", "-1024")
            .text(Tag(0x0028, 0x1053), b"DS", "1")
            .text(Tag(0x0028, 0x1054), b"LO", "HU")
            .element(Tag(0x7FE0, 0x0010), b"OW", &self.pixels());
        out.into_bytes()
    }

    /// Writes a whole Part 10 file.
    pub fn part10(&self, encoding: Encoding) -> Vec<u8> {
        let data_set = self.data_set(encoding);
        part10_file(CT_IMAGE_STORAGE, &self.sop_instance_uid, encoding.transfer_syntax(), &data_set)
    }

    /// A diagonal ramp that differs from slice to slice, within 12 bits.
    fn pixels(&self) -> Vec<u8> {
        let size = u32::from(self.size);
        let value = |row, column| (row + column + 100 * self.instance_number) & 0x0FFF;
        let values = (0..size).flat_map(|row| (0..size).map(move |column| value(row, column)));
        values.flat_map(|value| value.to_le_bytes().into_iter().take(2)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededEntropy;
    use crate::data_set::{data_set_of, value_of};
    use crate::tool::Tool;

    fn yamada() -> CtImage {
        let image = CtImage::series(1, &SeededEntropy::new(3)).remove(0);
        image.with_patient("K-77", YAMADA_TARO_NAME, YAMADA_TARO_CHARACTER_SET)
    }

    #[test]
    fn both_encodings_are_valid_ct_images_for_other_peoples_tools() {
        let folder = tempfile::tempdir().unwrap();
        for encoding in [Encoding::ExplicitLittleEndian, Encoding::ImplicitLittleEndian] {
            let path = folder.path().join("image.dcm");
            std::fs::write(&path, yamada().part10(encoding)).unwrap();

            let checked = Tool::find("dciodvfy").unwrap().arg(&path).run().unwrap();
            assert!(checked.status.success(), "{checked}");
            assert!(!checked.all_text().contains("Error"), "{checked}");

            let dumped = Tool::find("dcmdump").unwrap().args(["+P", "PatientID"]).arg(&path).run().unwrap().success();
            assert!(dumped.stdout_text().contains("[K-77]"), "{dumped}");
        }
    }

    #[test]
    fn the_kanji_name_is_what_it_says() {
        // Between the escapes the name is ISO-2022-JP, and so ASCII outside of them.
        let converter = Tool::find("iconv").unwrap().args(["-f", "ISO-2022-JP", "-t", "UTF-8"]);
        let converted = converter.input(YAMADA_TARO_NAME).run().unwrap().success();
        assert_eq!(converted.stdout_text(), YAMADA_TARO_TEXT);
    }

    #[test]
    fn slices_of_a_series_share_study_and_differ_in_number_and_pixels() {
        let slices = CtImage::series(2, &SeededEntropy::new(4));
        let files = slices.iter().map(|slice| slice.part10(Encoding::ExplicitLittleEndian)).collect::<Vec<_>>();
        let values = |tag| files.iter().map(|file| value_of(file, tag).unwrap().unwrap()).collect::<Vec<_>>();

        let [study, sop, number, pixels] =
            [Tag(0x0020, 0x000D), Tag(0x0008, 0x0018), Tag(0x0020, 0x0013), Tag(0x7FE0, 0x0010)].map(values);
        assert_eq!(study[0], study[1]);
        assert_ne!(sop[0], sop[1]);
        assert_eq!(number, [b"1 ", b"2 "]);
        assert_ne!(pixels[0], pixels[1]);
        assert_eq!(pixels[0].len(), 16 * 16 * 2);
        assert_eq!(data_set_of(&files[0]).unwrap(), slices[0].data_set(Encoding::ExplicitLittleEndian));
    }
}
