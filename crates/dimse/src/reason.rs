//! Why an association is refused (A-ASSOCIATE-RJ, PS3.8 9.3.4) or ends at once (A-ABORT, PS3.8 9.3.8), as the three and two bytes on the wire.

use std::fmt;

/// The fields of an A-ASSOCIATE-RJ PDU (PS3.8 Table 9-21). Values outside of the table are kept as received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rejection {
    /// 1 permanent, 2 transient.
    pub result: u8,
    /// 1 service user, 2 service provider (association control), 3 service provider (presentation).
    pub source: u8,
    pub reason: u8,
}

impl Rejection {
    pub const NO_REASON: Self = Self::new(1, 1, 1);
    pub const APPLICATION_CONTEXT_NOT_SUPPORTED: Self = Self::new(1, 1, 2);
    pub const CALLING_AE_NOT_RECOGNIZED: Self = Self::new(1, 1, 3);
    pub const CALLED_AE_NOT_RECOGNIZED: Self = Self::new(1, 1, 7);
    pub const PROTOCOL_VERSION_NOT_SUPPORTED: Self = Self::new(1, 2, 2);
    pub const TEMPORARY_CONGESTION: Self = Self::new(2, 3, 1);
    pub const LOCAL_LIMIT_EXCEEDED: Self = Self::new(2, 3, 2);

    pub const fn new(result: u8, source: u8, reason: u8) -> Self {
        Self { result, source, reason }
    }

    /// Whether trying again later makes sense.
    pub const fn is_transient(self) -> bool {
        self.result == 2
    }

    /// The reason in words.
    pub const fn meaning(self) -> &'static str {
        match (self.source, self.reason) {
            (1, 1) | (2, 1) => "no reason given",
            (1, 2) => "application context not supported",
            (1, 3) => "calling AE title not recognised",
            (1, 7) => "called AE title not recognised",
            (2, 2) => "protocol version not supported",
            (3, 1) => "temporary congestion",
            (3, 2) => "local limit exceeded",
            _ => "reserved reason",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasting = if self.is_transient() { "transient" } else { "permanent" };
        write!(f, "{} ({lasting}, {}/{}/{})", self.meaning(), self.result, self.source, self.reason)
    }
}

/// The fields of an A-ABORT PDU (PS3.8 Table 9-26). Values outside of the table are kept as received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Abort {
    /// 0 service user, 2 service provider.
    pub source: u8,
    pub reason: u8,
}

impl Abort {
    /// The application ended the association.
    pub const USER: Self = Self::new(0, 0);
    pub const NOT_SPECIFIED: Self = Self::new(2, 0);
    pub const UNRECOGNIZED_PDU: Self = Self::new(2, 1);
    pub const UNEXPECTED_PDU: Self = Self::new(2, 2);
    pub const UNRECOGNIZED_PARAMETER: Self = Self::new(2, 4);
    pub const UNEXPECTED_PARAMETER: Self = Self::new(2, 5);
    pub const INVALID_PARAMETER: Self = Self::new(2, 6);

    pub const fn new(source: u8, reason: u8) -> Self {
        Self { source, reason }
    }

    /// The reason in words.
    pub const fn meaning(self) -> &'static str {
        match (self.source, self.reason) {
            (0, _) => "by the application",
            (2, 0) => "reason not specified",
            (2, 1) => "unrecognised PDU",
            (2, 2) => "unexpected PDU",
            (2, 4) => "unrecognised PDU parameter",
            (2, 5) => "unexpected PDU parameter",
            (2, 6) => "invalid PDU parameter",
            _ => "reserved reason",
        }
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}/{})", self.meaning(), self.source, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_words_and_codes() {
        assert_eq!(
            Rejection::CALLING_AE_NOT_RECOGNIZED.to_string(),
            "calling AE title not recognised (permanent, 1/1/3)"
        );
        assert_eq!(Rejection::LOCAL_LIMIT_EXCEEDED.to_string(), "local limit exceeded (transient, 2/3/2)");
        assert_eq!(Rejection::new(7, 9, 9).to_string(), "reserved reason (permanent, 7/9/9)");
        assert_eq!(Abort::INVALID_PARAMETER.to_string(), "invalid PDU parameter (2/6)");
        assert_eq!(Abort::new(0, 5).to_string(), "by the application (0/5)");
    }
}
