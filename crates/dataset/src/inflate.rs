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
            let status = self.stream.decompress(rest, self.chunk.as_mut_slice(), FlushDecompress::None);
            let read = usize::try_from(self.stream.total_in() - read_before).unwrap_or(rest.len());
            let written = usize::try_from(self.stream.total_out() - written_before).unwrap_or(0);
            rest = rest.get(read..).unwrap_or_default();
            self.ended = matches!(status, Ok(Status::StreamEnd));
            // What came out before a damage or the limit counts; otherwise it would depend on how the bytes arrive whether it does.
            let within = usize::try_from(self.limit.saturating_sub(written_before))
                .map_or(written, |within| within.min(written));
            if !take(self.chunk.get(..within).unwrap_or_default()) {
                return Ok(());
            }
            if self.stream.total_out() > self.limit {
                return Err(InflateError::TooLong { limit: self.limit });
            }
            status.map_err(|_| InflateError::Corrupt { inflated: self.stream.total_out() })?;
            // The stream's window may hold output back although all input is read.
            if read == 0 && written == 0 {
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    /// What comes out, and how it ends.
    fn inflate(pieces: &mut dyn Iterator<Item = &[u8]>, limit: u64) -> (Vec<u8>, Result<(), InflateError>) {
        let (mut inflater, mut out) = (Inflater::new(limit), Vec::new());
        for piece in pieces {
            let pushed = inflater.push(piece, &mut |some| {
                out.extend_from_slice(some);
                true
            });
            if pushed.is_err() {
                return (out, pushed);
            }
        }
        let end = inflater.finish();
        (out, end)
    }

    #[test]
    fn a_whole_stream_is_whole_however_it_arrives() {
        // Just more than the window of 32 KiB: the last bytes come out of it when all input has been read.
        for length in [100, (32 << 10) - 1, 32 << 10, (32 << 10) + 1, (32 << 10) + 100, (32 << 10) + 200, 100_000] {
            let data = vec![b'x'; length];
            let stream = deflated(&data);
            for size in 1..=stream.len() {
                let (out, end) = inflate(&mut stream.chunks(size), 1 << 20);
                assert!(
                    out == data && end == Ok(()),
                    "{length} bytes in pieces of {size}: {} came, {end:?}",
                    out.len()
                );
            }
        }
    }

    #[test]
    fn what_came_before_a_damage_or_the_limit_is_handed_over() {
        let data = vec![7; 1000];
        let mut stream = deflated(&data);
        for size in [1, stream.len()] {
            let (out, end) = inflate(&mut stream.chunks(size), 600);
            assert_eq!((out.len(), end), (600, Err(InflateError::TooLong { limit: 600 })), "in pieces of {size}");
        }
        let cut = stream.len() - 2;
        stream.truncate(cut);
        let (out, end) = inflate(&mut stream.chunks(1), 1 << 20);
        assert_eq!(end, Err(InflateError::Truncated { inflated: out.len() as u64 }));
        assert!(data.starts_with(&out));
    }
}
