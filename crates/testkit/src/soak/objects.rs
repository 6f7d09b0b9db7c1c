//! What is sent: small CT slices, and one object too large for any memory, both made as they are needed and the same each time.

use std::io::{self, Read};
use std::path::Path;

use anyhow::Context as _;
use aws_lc_rs::digest::{Context, SHA256};

use crate::SeededEntropy;
use crate::data_set::{DataSetWriter, Encoding, Tag, data_set_offset};
use crate::synthetic::{CT_IMAGE_STORAGE, CtImage, new_uid};

/// SHA-256.
pub type Hash = [u8; 32];

/// Multi-frame Grayscale Word Secondary Capture Image Storage (PS3.4 B.5).
pub const MULTIFRAME: &str = "1.2.840.10008.5.1.4.1.1.7.3";
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// One object as it goes over an association, in explicit VR little endian.
#[derive(Clone, Debug)]
pub struct Object {
    pub sop_class: &'static str,
    pub sop_instance: String,
    pub data_set: Vec<u8>,
}

/// Slices of one study, in series of 300, without end.
#[derive(Debug)]
pub struct Slices {
    pub study: String,
    series: String,
    entropy: SeededEntropy,
    made: u32,
    size: u16,
}

impl Slices {
    /// Slices with `size` rows and columns. Equal seeds give equal objects.
    pub fn new(seed: u64, size: u16) -> Self {
        let entropy = SeededEntropy::new(seed);
        let study = new_uid(&entropy);
        Self { study, series: String::new(), entropy, made: 0, size }
    }

    pub fn next_object(&mut self) -> Object {
        if self.made.is_multiple_of(300) {
            self.series = new_uid(&self.entropy);
        }
        self.made += 1;
        let mut image = CtImage::new(&self.study, &self.series, &new_uid(&self.entropy));
        image.patient_id = b"SOAK".to_vec();
        image.series_number = self.made.div_ceil(300);
        image.instance_number = self.made;
        image.size = self.size;
        let data_set = image.data_set(Encoding::ExplicitLittleEndian);
        Object { sop_class: CT_IMAGE_STORAGE, sop_instance: image.sop_instance_uid, data_set }
    }
}

/// A multi-frame object whose frames are computed while they are read.
#[derive(Clone, Debug)]
pub struct LargeObject {
    pub sop_instance: String,
    pub study: String,
    head: Vec<u8>,
    position: u64,
    pub length: u64,
}

impl LargeObject {
    /// `frames` of 1024 by 1024 pixels, 2 MiB each.
    pub fn new(seed: u64, frames: u16) -> anyhow::Result<Self> {
        let entropy = SeededEntropy::new(seed);
        let (study, series, sop_instance) = (new_uid(&entropy), new_uid(&entropy), new_uid(&entropy));
        let pixels =
            u32::from(frames).checked_mul(2 << 20).filter(|bytes| *bytes < u32::MAX).context("too many frames")?;
        let mut out = DataSetWriter::new(Encoding::ExplicitLittleEndian);
        out.text(Tag(0x0008, 0x0016), b"UI", MULTIFRAME)
            .text(Tag(0x0008, 0x0018), b"UI", &sop_instance)
            .text(Tag(0x0008, 0x0020), b"DA", "20261122")
            .text(Tag(0x0008, 0x0060), b"CS", "OT")
            .text(Tag(0x0010, 0x0010), b"PN", "Large^Object")
            .text(Tag(0x0010, 0x0020), b"LO", "SOAK")
            .text(Tag(0x0020, 0x000D), b"UI", &study)
            .text(Tag(0x0020, 0x000E), b"UI", &series)
            .text(Tag(0x0020, 0x0013), b"IS", "1")
            .unsigned_short(Tag(0x0028, 0x0002), 1)
            .text(Tag(0x0028, 0x0004), b"CS", "MONOCHROME2")
            .text(Tag(0x0028, 0x0008), b"IS", &frames.to_string());
        for (element, value) in [(0x10, 1024), (0x11, 1024), (0x100, 16), (0x101, 16), (0x102, 15), (0x103, 0)] {
            out.unsigned_short(Tag(0x0028, element), value);
        }
        let mut head = out.into_bytes();
        head.extend_from_slice(b"\xe0\x7f\x10\0OW\0\0");
        head.extend_from_slice(&pixels.to_le_bytes());
        let length = head.len() as u64 + u64::from(pixels);
        Ok(Self { sop_instance, study, head, position: 0, length })
    }

    /// The hash of the whole data set.
    pub fn hash(&self) -> io::Result<Hash> {
        hash_of(Self { position: 0, ..self.clone() })
    }
}

impl Read for LargeObject {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let head = self.head.len() as u64;
        let rest = usize::try_from(self.length - self.position).unwrap_or(usize::MAX);
        let (position, space) = (self.position, into.len().min(rest));
        let count = if position < head {
            let start = usize::try_from(position).unwrap_or(usize::MAX);
            self.head.get(start..).unwrap_or_default().read(&mut into[..space])?
        } else {
            // Eight bytes at a time, each word a function of its number, so that nothing repeats and any part can be made alone.
            let pixel = position - head;
            let (word, skip) = (pixel / 8, (pixel % 8) as usize);
            if skip != 0 || space < 8 {
                let bytes = pixels_of(word);
                let count = space.min(8 - skip);
                into[..count].copy_from_slice(&bytes[skip..skip + count]);
                count
            } else {
                for (number, bytes) in (word..).zip(into[..space].chunks_exact_mut(8)) {
                    bytes.copy_from_slice(&pixels_of(number));
                }
                space / 8 * 8
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}

fn pixels_of(word: u64) -> [u8; 8] {
    let mixed = (word + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).to_le_bytes()
}

/// The hash of everything that can be read.
pub fn hash_of(mut from: impl Read) -> io::Result<Hash> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        context.update(&buffer[..count]);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Ok(hash)
}

/// The hash of the data set in a Part 10 file.
pub fn hash_of_data_set(file: &Path) -> anyhow::Result<Hash> {
    let mut file = std::fs::File::open(file)?;
    let mut start = vec![0; 64 << 10];
    let mut have = 0;
    while have < start.len() {
        match file.read(&mut start[have..])? {
            0 => break,
            count => have += count,
        }
    }
    start.truncate(have);
    let offset = data_set_offset(&start)?;
    Ok(hash_of(io::Cursor::new(&start[offset..]).chain(file))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_object_is_the_same_however_it_is_read() {
        let object = LargeObject::new(7, 1).unwrap();
        let mut whole = Vec::new();
        object.clone().read_to_end(&mut whole).unwrap();
        assert_eq!(whole.len() as u64, object.length);
        assert_eq!(hash_of(&whole[..]).unwrap(), object.hash().unwrap());

        let mut again = Vec::new();
        let mut reader = object.clone();
        for size in [1, 3, 1000, 13].into_iter().cycle() {
            let mut piece = vec![0; size];
            match reader.read(&mut piece).unwrap() {
                0 => break,
                count => again.extend_from_slice(&piece[..count]),
            }
            if again.len() > 100_000 {
                break;
            }
        }
        assert!(whole.starts_with(&again));
    }

    #[test]
    fn slices_of_one_seed_are_the_same_and_no_two_are_equal() {
        let (mut one, mut other) = (Slices::new(1, 16), Slices::new(1, 16));
        let (first, second) = (one.next_object(), one.next_object());
        assert_eq!(other.next_object().data_set, first.data_set);
        assert_ne!(first.sop_instance, second.sop_instance);
        assert_ne!(Slices::new(2, 16).study, one.study);
    }
}
