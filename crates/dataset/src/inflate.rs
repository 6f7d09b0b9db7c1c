//! Inflates a deflated data set (PS3.5 A.5) while its bytes arrive.

use flate2::{Decompress, FlushDecompress, Status};

/// Why a deflated data set cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    #[error("the deflated data set is corrupt after {inflated} inflated bytes")]
    Corrupt { inflated: u64 },
    #[error("the deflated data set ends early, after {inflated} inflated bytes")]
    Truncated { inflated: u64 },
    #[error("the data set inflates to more than {limit} bytes")]
    TooLong { limit: u64 },
}

const CHUNK: usize = 32 << 10;

/// A raw deflate stream (RFC 1951, no zlib header). Memory is one window and one output chunk.
pub struct Inflater {
    stream: Decompress,
    chunk: Box<[u8; CHUNK]>,
    limit: u64,
    ended: bool,
}

impl Inflater {
    /// `limit`: how many inflated bytes are let through before [`InflateError::TooLong`].
    pub fn new(limit: u64) -> Self {
        Self { stream: Decompress::new(false), chunk: Box::new([0; CHUNK]), limit, ended: false }
    }

    /// Inflates `input` and hands the result over piece by piece, for as long as `take` returns `true`.
    pub fn push(&mut self, input: &[u8], take: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), InflateError> {
        let mut rest = input;
        while !self.ended {
            let (read_before, written_before) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(rest, self.chunk.as_mut_slice(), FlushDecompress::None)
                .map_err(|_| InflateError::Corrupt { inflated: written_before })?;
            let read = usize::try_from(self.stream.total_in() - read_before).unwrap_or(rest.len());
            let written = usize::try_from(self.stream.total_out() - written_before).unwrap_or(0);
            rest = rest.get(read..).unwrap_or_default();
            self.ended = status == Status::StreamEnd;
            if self.stream.total_out() > self.limit {
                return Err(InflateError::TooLong { limit: self.limit });
            }
            if !take(self.chunk.get(..written).unwrap_or_default()) {
                return Ok(());
            }
            // A full chunk may have more behind it although all input is read.
            if written < CHUNK && (rest.is_empty() || read == 0) {
                break;
            }
        }
        // After the end of the stream there may be one padding byte; more does not hurt either.
        Ok(())
    }

    pub fn finish(&self) -> Result<(), InflateError> {
        if self.ended { Ok(()) } else { Err(InflateError::Truncated { inflated: self.stream.total_out() }) }
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("inflated", &self.stream.total_out()).field("ended", &self.ended).finish()
    }
}
