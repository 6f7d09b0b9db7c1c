//! Every text of the test data, at every depth, beside what pydicom reads: another implementation's opinion in Unicode.
//!
//! DCMTK (as Debian builds it) and dicom-rs are no oracles here: the one cannot convert ISO 2022 IR 87, the other splits values before it
//! decodes them.

#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dokuei_charset::SpecificCharacterSet;
use dokuei_dataset::encoding::DataSetEncoding;
use dokuei_dataset::inflate::Inflater;
use dokuei_dataset::tokenizer::{Element, Sink, Tokenizer, TokenizerLimits, Want};
use dokuei_dataset::{CharacterSets, Tag, Vr, part10, tag};
use dokuei_domain::TransferSyntaxUid;
use dokuei_testkit::data_set::{self, DataSetWriter, Encoding, part10_file};
use dokuei_testkit::{python_with, testdata, testdata_files};
use serde_json::Value;

const PYDICOM: &str = "pydicom==3.0.2";

/// What pydicom finds in one file: texts by their path (`00081140/0/00080060`), and which paths are sequences.
#[derive(Debug, Default)]
struct Opinion {
    transfer_syntax: String,
    texts: BTreeMap<String, (Vr, Vec<String>)>,
    sequences: Vec<String>,
}

fn ask_pydicom(files: &[PathBuf]) -> BTreeMap<PathBuf, Opinion> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pydicom/texts.py");
    let names: String = files.iter().map(|file| format!("{}\n", file.display())).collect();
    let python = python_with(&[PYDICOM]).unwrap_or_else(|error| panic!("{error}"));
    let output = python.arg(script).input(names).timeout(Duration::from_secs(300)).run().unwrap().success();
    let mut opinions: BTreeMap<PathBuf, Opinion> = BTreeMap::new();
    let mut current = PathBuf::new();
    for line in output.stdout_text().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        if let Some(file) = line["file"].as_str() {
            current = file.into();
            opinions.entry(current.clone()).or_default().transfer_syntax = text("syntax");
            continue;
        }
        let opinion = opinions.get_mut(&current).unwrap();
        if line["vr"] == "SQ" {
            opinion.sequences.push(text("path"));
        } else {
            let vr = Vr(*text("vr").as_bytes().first_chunk().unwrap());
            let values = line["values"].as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned());
            opinion.texts.insert(text("path"), (vr, values.collect()));
        }
    }
    assert_eq!(opinions.len(), files.len());
    opinions
}

/// Our reading: walks a data set and decodes each text for which there is an opinion.
struct Reader<'a> {
    opinion: &'a Opinion,
    character_sets: CharacterSets,
    /// Open sequences with the number of the item that is open.
    path: Vec<(Tag, usize)>,
    sequence: Option<Tag>,
    texts: BTreeMap<String, (Vec<String>, bool)>,
}

impl Reader<'_> {
    fn path_of(&self, element: &Element) -> String {
        let mut path = String::new();
        for (tag, item) in self.path.iter().take(element.depth) {
            path += &format!("{}/{item}/", digits(*tag));
        }
        path + &digits(element.tag)
    }
}

fn digits(tag: Tag) -> String {
    tag.to_string().chars().filter(char::is_ascii_hexdigit).collect::<String>().to_uppercase()
}

impl Sink for Reader<'_> {
    fn element(&mut self, element: &Element) -> Want {
        self.path.truncate(element.depth);
        self.sequence = Some(element.tag);
        let path = self.path_of(element);
        if element.tag == tag::SPECIFIC_CHARACTER_SET || self.opinion.texts.contains_key(&path) {
            Want::Value
        } else if self.opinion.sequences.contains(&path) {
            Want::Items
        } else {
            Want::Nothing
        }
    }

    fn value(&mut self, element: &Element, value: &[u8]) {
        if element.tag == tag::SPECIFIC_CHARACTER_SET {
            self.character_sets.declare(element.depth, value);
            return;
        }
        let path = self.path_of(element);
        let (vr, _) = self.opinion.texts[&path];
        let decoded = self.character_sets.decode(element.depth, vr, value).unwrap();
        self.texts.insert(path, (decoded.value, decoded.repaired));
    }

    fn item_start(&mut self, depth: usize) {
        self.path.truncate(depth);
        match self.path.get_mut(depth - 1) {
            Some((_, item)) => *item += 1,
            None => self.path.push((self.sequence.unwrap(), 0)),
        }
        self.character_sets.item_start(depth);
    }

    fn item_end(&mut self, depth: usize) {
        self.path.truncate(depth);
        self.character_sets.item_end(depth);
    }
}

fn read(file: &Path, opinion: &Opinion) -> BTreeMap<String, (Vec<String>, bool)> {
    let bytes = std::fs::read(file).unwrap();
    let offset = part10::parse_header(&bytes).map_or(0, |(_, offset)| offset);
    let syntax = match opinion.transfer_syntax.as_str() {
        "" => "1.2.840.10008.1.2",
        syntax => syntax,
    };
    let encoding = DataSetEncoding::of(&TransferSyntaxUid::parse(syntax).unwrap());
    let mut data_set = Vec::new();
    if encoding.deflated {
        Inflater::new(1 << 28)
            .push(&bytes[offset..], &mut |inflated| {
                data_set.extend_from_slice(inflated);
                true
            })
            .unwrap();
    } else {
        data_set.extend_from_slice(&bytes[offset..]);
    }
    let limits = TokenizerLimits { value_bytes: 1 << 26, ..TokenizerLimits::default() };
    let mut tokenizer = Tokenizer::new(encoding.elements, limits);
    let mut reader = Reader {
        opinion,
        character_sets: CharacterSets::default(),
        path: Vec::new(),
        sequence: None,
        texts: BTreeMap::new(),
    };
    for chunk in data_set.chunks(4096) {
        // What breaks in the pixel data was read by then.
        if tokenizer.push(chunk, &mut reader).is_err() {
            break;
        }
    }
    reader.texts
}

/// What came of the comparison.
#[derive(Debug, Default)]
struct Comparison {
    texts: usize,
    nested: usize,
    not_ascii: usize,
    repaired: Vec<String>,
    different: Vec<String>,
}

fn compare(root: &Path, files: &[PathBuf]) -> Comparison {
    let mut all = Comparison::default();
    for (file, opinion) in ask_pydicom(files) {
        let ours = read(&file, &opinion);
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        for (path, (vr, expected)) in &opinion.texts {
            let place = format!("{name} {path} {vr}");
            let Some((values, repaired)) = ours.get(path) else {
                all.different.push(format!("{place}: not found, pydicom has {expected:?}"));
                continue;
            };
            all.texts += 1;
            all.nested += usize::from(path.contains('/'));
            all.not_ascii += usize::from(!expected.concat().is_ascii());
            if *repaired {
                all.repaired.push(place.clone());
            }
            let expected = without_known_fault(&place, expected);
            if !same(*vr, values, &expected) {
                all.different.push(format!("{place}: {values:?}, pydicom has {expected:?}"));
            }
        }
    }
    all
}

/// pydicom 3.0.2 leaves the designations of ISO 2022 IR 58 in the text.
fn without_known_fault(place: &str, values: &[String]) -> Vec<String> {
    let has_it = place.contains("chrGB2312") || place.contains("IR 58");
    values.iter().map(|value| if has_it { value.replace("\u{1b}$)A", "") } else { value.clone() }).collect()
}

/// pydicom drops empty component groups at the end of a name and padding that we keep as an empty value; neither is a matter of characters.
fn same(vr: Vr, ours: &[String], theirs: &[String]) -> bool {
    let trimmed = |values: &[String]| -> Vec<String> {
        let delimiters: &[char] = if vr == Vr::PN { &['=', '^', ' '] } else { &[' '] };
        let mut values: Vec<String> =
            values.iter().map(|value| value.trim_end_matches(delimiters).to_owned()).collect();
        while values.last().is_some_and(String::is_empty) {
            values.pop();
        }
        values
    };
    trimmed(ours) == trimmed(theirs)
}

#[test]
fn every_text_of_the_test_data_is_what_pydicom_reads() {
    let root = testdata("");
    let files: Vec<PathBuf> =
        testdata_files().into_iter().filter(|file| !file.malformed()).map(|file| file.location()).collect();
    let all = compare(&root, &files);
    assert_eq!(all.different, Vec::<String>::new());
    assert_eq!(all.repaired, Vec::<String>::new(), "these files are as they declare");
    assert!(all.texts > 5_000 && all.nested > 3_000 && all.not_ascii > 20, "{all:?}");
}

/// `DOKUEI_DATA_DIR=… cargo nextest run -p dokuei-dataset --run-ignored all -E 'test(whole_data_folder)'`
#[test]
#[ignore = "wants a folder of DICOM files in DOKUEI_DATA_DIR"]
#[expect(clippy::print_stdout, reason = "its figures are what it is run for")]
fn every_text_of_a_whole_data_folder_is_what_pydicom_reads() {
    let root = PathBuf::from(std::env::var_os("DOKUEI_DATA_DIR").expect("DOKUEI_DATA_DIR"));
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).unwrap().get(128..132) == Some(b"DICM")
                && !path.to_string_lossy().contains("malformed")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    let all = compare(&root, &files);
    println!("{} texts of {} files, {} nested, {} not ASCII", all.texts, files.len(), all.nested, all.not_ascii);
    println!("repaired: {:#?}", all.repaired);
    // Its sequence of length 0 is followed by the sequence's item, which pydicom takes for elements of the top.
    let different: Vec<_> = all.different.iter().filter(|place| !place.contains("FreezePattern")).collect();
    assert_eq!(different, Vec::<&String>::new());
}

/// All characters of the sets, as our encoder writes them, in the tables of Python's codecs.
#[test]
fn whole_sets_as_our_encoder_writes_them_are_what_pydicom_reads() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    let mut written = BTreeMap::new();
    for (terms, designation, high, double) in [
        ("\\ISO 2022 IR 87", b"\x1B$B".as_slice(), 0, true),
        ("\\ISO 2022 IR 159", b"\x1B$(D", 0, true),
        ("\\ISO 2022 IR 149", b"\x1B$)C", 0x80, true),
        ("\\ISO 2022 IR 58", b"\x1B$)A", 0x80, true),
        ("ISO_IR 13", b"", 0x80, false),
        ("ISO_IR 100", b"", 0x80, false),
        ("ISO_IR 101", b"", 0x80, false),
        ("ISO_IR 109", b"", 0x80, false),
        ("ISO_IR 110", b"", 0x80, false),
        ("ISO_IR 126", b"", 0x80, false),
        ("ISO_IR 127", b"", 0x80, false),
        ("ISO_IR 138", b"", 0x80, false),
        ("ISO_IR 144", b"", 0x80, false),
        ("ISO_IR 148", b"", 0x80, false),
        ("ISO_IR 166", b"", 0x80, false),
        // ISO_IR 203 is not known to pydicom 3.0.2.
    ] {
        let set = SpecificCharacterSet::parse(terms.as_bytes()).unwrap();
        let mut characters = characters(&set, designation, high, double);
        // Python's EUC-KR begins a syllable of eight bytes with the first, its GB 2312 has other code points for the other two.
        characters.retain(|character| {
            !matches!((character, terms.rsplit(' ').next()), ('\u{3164}', _) | ('·' | '—', Some("58")))
        });
        let mut data_set = DataSetWriter::new(Encoding::ExplicitLittleEndian);
        data_set.text(data_set::Tag(0x0008, 0x0005), b"CS", terms).text(data_set::Tag(0x0009, 0x0010), b"LO", "TEST");
        for (number, some) in characters.chunks(40).enumerate() {
            // Beside letters, so that the sets change places.
            let text: String = some.iter().flat_map(|character| ['A', *character, *character]).collect();
            let element = 0x1000 + u16::try_from(number).unwrap();
            data_set.element(data_set::Tag(0x0009, element), b"LT", &set.encode_text(&text).unwrap());
            written.insert((terms, element), text);
        }
        let name = format!("{}.dcm", terms.replace('\\', "+"));
        let path = folder.path().join(name);
        let file = part10_file("1.2.840.10008.5.1.4.1.1.7", "1.2.3", "1.2.840.10008.1.2.1", &data_set.into_bytes());
        std::fs::write(&path, file).unwrap();
        files.push(path);
    }

    let all = compare(folder.path(), &files);

    assert_eq!(all.different, Vec::<String>::new());
    assert_eq!(all.repaired, Vec::<String>::new());
    assert_eq!(all.texts, written.len() + files.len(), "each text and each private creator");
}

/// The characters that a set has, code by code.
fn characters(set: &SpecificCharacterSet, designation: &[u8], high: u8, double: bool) -> Vec<char> {
    let mut found = Vec::new();
    for first in 0x21..=0x7E_u8 {
        for second in if double { 0x21..=0x7E_u8 } else { 0x21..=0x21 } {
            let code: &[u8] = if double { &[first | high, second | high] } else { &[first | high] };
            let decoded = set.decode_text(&[designation, code].concat());
            if !decoded.repaired {
                found.extend(decoded.value.chars());
            }
        }
    }
    found
}
