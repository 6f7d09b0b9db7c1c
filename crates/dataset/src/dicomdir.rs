//! DICOMDIR: which files of a medium are its objects (PS3.3 Annex F, PS3.10 chapter 8).
//!
//! The directory records are one flat sequence whose items point at each other by byte offsets. Which file belongs to which patient stands in the
//! files too, so the offsets are not followed: media exist on which they are wrong, and a record that no offset reaches is an object all the same.

use dokuei_domain::TransferSyntaxUid;

use crate::encoding::DataSetEncoding;
use crate::tag::Tag;
use crate::tokenizer::{Element, Sink, TokenError, Tokenizer, TokenizerLimits, Want};

/// Media Storage Directory Storage: the SOP class of a DICOMDIR (PS3.4 Annex I).
pub const MEDIA_STORAGE_DIRECTORY: &str = "1.2.840.10008.1.3.10";

const DIRECTORY_RECORD_SEQUENCE: Tag = Tag(0x0004, 0x1220);
const RECORD_IN_USE_FLAG: Tag = Tag(0x0004, 0x1410);
const REFERENCED_FILE_ID: Tag = Tag(0x0004, 0x1500);

/// The longest Referenced File ID that is read; the standard's eight components of eight characters have 71.
const LONGEST_FILE_ID: u32 = 1024;

/// A file that a record in use names: the parts of its path below the DICOMDIR's folder, as they are written there.
///
/// They come from the medium and may be anything: `..`, empty, of another case than the file's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileReference {
    pub components: Vec<String>,
}

/// Reads the references of a DICOMDIR from bytes that arrive in chunks of any size. Its memory does not grow with the number of records.
#[derive(Debug)]
pub struct DicomdirReader {
    tokenizer: Tokenizer,
    records: Records,
}

#[derive(Debug, Default)]
struct Records {
    inside: bool,
    in_use: bool,
    file_id: Option<Vec<u8>>,
    found: Vec<FileReference>,
}

impl DicomdirReader {
    pub fn new(transfer_syntax: &TransferSyntaxUid) -> Self {
        let limits = TokenizerLimits { value_bytes: LONGEST_FILE_ID, ..TokenizerLimits::default() };
        let encoding = DataSetEncoding::of(transfer_syntax).elements;
        Self { tokenizer: Tokenizer::new(encoding, limits), records: Records::default() }
    }

    /// Takes the next bytes of the data set. After an error [`Self::found`] still has what stood before it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TokenError> {
        self.tokenizer.push(bytes, &mut self.records)
    }

    /// What was named since the last call.
    pub fn found(&mut self) -> Vec<FileReference> {
        std::mem::take(&mut self.records.found)
    }

    /// Tells whether the directory may end here.
    pub fn finish(&self) -> Result<(), TokenError> {
        self.tokenizer.finish()
    }
}

impl Sink for Records {
    fn element(&mut self, element: &Element) -> Want {
        if element.depth == 0 {
            self.inside = element.tag == DIRECTORY_RECORD_SEQUENCE;
            return if self.inside { Want::Items } else { Want::Nothing };
        }
        let wanted = self.inside && element.depth == 1;
        if wanted && matches!(element.tag, RECORD_IN_USE_FLAG | REFERENCED_FILE_ID) {
            Want::Value
        } else {
            Want::Nothing
        }
    }

    fn value(&mut self, element: &Element, value: &[u8]) {
        match element.tag {
            // 0000H: inactive; every other value counts, FFFFH being the only one defined.
            RECORD_IN_USE_FLAG => self.in_use = value.iter().any(|byte| *byte != 0),
            _ => self.file_id = Some(value.to_vec()),
        }
    }

    fn item_start(&mut self, depth: usize) {
        if depth == 1 {
            // The flag is required; a record without one is taken at its word.
            self.in_use = true;
            self.file_id = None;
        }
    }

    fn item_end(&mut self, depth: usize) {
        if depth == 1
            && self.inside
            && self.in_use
            && let Some(file_id) = self.file_id.take().filter(|file_id| !file_id.trim_ascii().is_empty())
        {
            self.found.push(FileReference { components: components(&file_id) });
        }
    }
}

/// The parts between backslashes, without padding. A File ID has only letters, digits and underscores (PS3.10 8.2); one with other bytes is not taken
/// apart, because in some character sets a backslash is half a letter.
fn components(file_id: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(file_id);
    let trim = |part: &str| part.trim_matches([' ', '\0']).to_owned();
    if file_id.is_ascii() { text.split('\\').map(trim).collect() } else { vec![trim(&text)] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vr::Vr;

    fn element(tag: Tag, vr: Vr, value: &[u8]) -> Vec<u8> {
        let mut out = [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat();
        out.extend(vr.to_string().as_bytes());
        out.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        out.extend(value);
        out
    }

    fn item(elements: &[Vec<u8>]) -> Vec<u8> {
        let content = elements.concat();
        let length = u32::try_from(content.len()).unwrap();
        [&[0xfe, 0xff, 0x00, 0xe0][..], &length.to_le_bytes(), &content].concat()
    }

    fn directory(items: &[Vec<u8>]) -> Vec<u8> {
        let content = items.concat();
        let length = u32::try_from(content.len()).unwrap();
        [&[0x04, 0x00, 0x20, 0x12, b'S', b'Q', 0, 0][..], &length.to_le_bytes(), &content].concat()
    }

    fn file_id(text: &[u8]) -> Vec<u8> {
        element(REFERENCED_FILE_ID, Vr::CS, text)
    }

    fn read(bytes: &[u8], chunk: usize) -> Vec<String> {
        let mut reader = DicomdirReader::new(&TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap());
        let mut found = Vec::new();
        for chunk in bytes.chunks(chunk) {
            reader.push(chunk).unwrap();
            found.extend(reader.found());
        }
        reader.finish().unwrap();
        found.into_iter().map(|reference| reference.components.join("|")).collect()
    }

    #[test]
    fn the_files_of_records_in_use_are_found_whatever_the_chunks() {
        let in_use = |flag: u16| element(RECORD_IN_USE_FLAG, Vr::US, &flag.to_le_bytes());
        let bytes = directory(&[
            item(&[in_use(0xffff), element(Tag(0x0004, 0x1430), Vr::CS, b"PATIENT ")]),
            item(&[in_use(0xffff), file_id(b"A\\B\\IM000001 ")]),
            item(&[in_use(0), file_id(b"A\\B\\DELETED ")]),
            item(&[file_id(b"IM000002")]),
            item(&[in_use(0xffff), file_id(b"  ")]),
            item(&[in_use(0xffff), file_id(b"..\\..\\ETC\\PASSWD\0")]),
            item(&[in_use(0xffff), file_id(b"\x83\x5c\x83\x5c")]),
        ]);
        let expected = ["A|B|IM000001", "IM000002", "..|..|ETC|PASSWD", "\u{fffd}\\\u{fffd}\\"];
        for chunk in [1, 7, 1000] {
            assert_eq!(read(&bytes, chunk), expected, "{chunk}");
        }
    }

    #[test]
    fn what_looks_like_a_record_elsewhere_is_none() {
        let mut bytes = file_id(b"OUTSIDE ");
        bytes.extend(directory(&[]));
        assert_eq!(read(&bytes, 3), [""; 0]);
    }

    #[test]
    fn a_directory_that_breaks_off_says_so() {
        let bytes = directory(&[item(&[file_id(b"IM000001")])]);
        let mut reader = DicomdirReader::new(&TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap());
        reader.push(&bytes[..bytes.len() - 1]).unwrap();
        assert!(matches!(reader.finish(), Err(TokenError::Truncated { .. })));

        // What was named before the damage is not lost.
        let mut bytes = directory(&[item(&[file_id(b"IM000001")]), item(&[file_id(b"IM000002")])]);
        let last = bytes.len() - 18;
        bytes[last] = 0xff;
        let mut reader = DicomdirReader::new(&TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap());
        reader.push(&bytes).unwrap_err();
        assert_eq!(reader.found()[0].components, ["IM000001"]);
    }
}
