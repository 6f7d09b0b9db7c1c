//! Decoded samples of one frame in one normal form.

/// Samples of one frame, interleaved by pixel, little endian, not yet shifted, masked or sign-extended.
pub(crate) struct Samples {
    pub(crate) bytes: Vec<u8>,
    /// 1, 2 or 4.
    pub(crate) bytes_per_sample: usize,
    /// Bits below the value (overlays, unused).
    pub(crate) shift: u32,
    /// Bits of the value.
    pub(crate) bits: u32,
    pub(crate) signed: bool,
}

impl Samples {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / self.bytes_per_sample
    }

    /// Values without sign, as stored: the index of a table over all possible values.
    pub(crate) fn codes(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        let mask = u32::MAX >> (32 - self.bits.clamp(1, 32));
        self.bytes.chunks_exact(self.bytes_per_sample).map(move |sample| {
            let raw = sample.iter().rev().fold(0u32, |value, &byte| (value << 8) | u32::from(byte));
            (raw >> self.shift) & mask
        })
    }

    /// The stored value of a code, two's complement in `bits` bits when signed (PS3.5 8.1.1).
    pub(crate) fn value(&self, code: u32) -> i64 {
        let code = i64::from(code);
        if self.signed && code >> (self.bits - 1) & 1 == 1 { code - (1i64 << self.bits) } else { code }
    }
}
