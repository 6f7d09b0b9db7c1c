//! Status codes of responses (PS3.7 annex C, PS3.4 B.2.3 for storage).

use std::fmt;

/// The value of Status (0000,0900).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u16);

/// The group a status belongs to (PS3.7 C.1 to C.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusClass {
    Success,
    /// Done, with a remark.
    Warning,
    Failure,
    Cancel,
    /// More responses follow.
    Pending,
}

impl Status {
    pub const SUCCESS: Self = Self(0x0000);
    pub const CANCEL: Self = Self(0xFE00);
    pub const PENDING: Self = Self(0xFF00);
    /// Pending; an optional key is not supported.
    pub const PENDING_WARNING: Self = Self(0xFF01);

    // Storage (PS3.4 Table B.2-1).
    pub const COERCION_OF_DATA_ELEMENTS: Self = Self(0xB000);
    pub const ELEMENTS_DISCARDED: Self = Self(0xB006);
    pub const DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING: Self = Self(0xB007);
    /// The sender may try again later.
    pub const OUT_OF_RESOURCES: Self = Self(0xA700);
    pub const DATA_SET_DOES_NOT_MATCH_SOP_CLASS: Self = Self(0xA900);
    pub const CANNOT_UNDERSTAND: Self = Self(0xC000);
    /// Same SOP Instance UID as an object already held, with other bytes. Ours, within the Cxxx range.
    pub const CONFLICTING_DUPLICATE: Self = Self(0xC111);

    // Retrieve (PS3.4 C.4.2).
    pub const MOVE_DESTINATION_UNKNOWN: Self = Self(0xA801);

    // Any operation (PS3.7 annex C).
    pub const NO_SUCH_ATTRIBUTE: Self = Self(0x0105);
    pub const INVALID_ATTRIBUTE_VALUE: Self = Self(0x0106);
    pub const ATTRIBUTE_LIST_ERROR: Self = Self(0x0107);
    pub const PROCESSING_FAILURE: Self = Self(0x0110);
    pub const DUPLICATE_SOP_INSTANCE: Self = Self(0x0111);
    pub const NO_SUCH_SOP_INSTANCE: Self = Self(0x0112);
    pub const NO_SUCH_EVENT_TYPE: Self = Self(0x0113);
    pub const NO_SUCH_ARGUMENT: Self = Self(0x0114);
    pub const INVALID_ARGUMENT_VALUE: Self = Self(0x0115);
    pub const ATTRIBUTE_VALUE_OUT_OF_RANGE: Self = Self(0x0116);
    pub const INVALID_SOP_INSTANCE: Self = Self(0x0117);
    pub const NO_SUCH_SOP_CLASS: Self = Self(0x0118);
    pub const CLASS_INSTANCE_CONFLICT: Self = Self(0x0119);
    pub const MISSING_ATTRIBUTE: Self = Self(0x0120);
    pub const MISSING_ATTRIBUTE_VALUE: Self = Self(0x0121);
    pub const SOP_CLASS_NOT_SUPPORTED: Self = Self(0x0122);
    pub const NO_SUCH_ACTION_TYPE: Self = Self(0x0123);
    pub const NOT_AUTHORIZED: Self = Self(0x0124);
    pub const DUPLICATE_INVOCATION: Self = Self(0x0210);
    pub const UNRECOGNIZED_OPERATION: Self = Self(0x0211);
    pub const MISTYPED_ARGUMENT: Self = Self(0x0212);
    pub const RESOURCE_LIMITATION: Self = Self(0x0213);

    /// The group of this status.
    pub const fn class(self) -> StatusClass {
        match self.0 {
            0x0000 => StatusClass::Success,
            0xFF00 | 0xFF01 => StatusClass::Pending,
            0xFE00 => StatusClass::Cancel,
            0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => StatusClass::Warning,
            _ => StatusClass::Failure,
        }
    }

    pub const fn is_success(self) -> bool {
        matches!(self.class(), StatusClass::Success)
    }

    pub const fn is_warning(self) -> bool {
        matches!(self.class(), StatusClass::Warning)
    }

    /// Success or warning: for C-STORE, the receiver has the object.
    pub const fn is_accepted(self) -> bool {
        matches!(self.class(), StatusClass::Success | StatusClass::Warning)
    }

    pub const fn is_failure(self) -> bool {
        matches!(self.class(), StatusClass::Failure)
    }

    /// A failure that may pass by itself: A7xx and 0213, out of resources. Everything else fails again until somebody changes something.
    pub const fn is_transient(self) -> bool {
        matches!(self.0, 0xA700..=0xA7FF | 0x0213)
    }

    /// What the code means, for people.
    pub const fn meaning(self) -> &'static str {
        match self.0 {
            0x0000 => "success",
            0x0001 => "requested optional attributes are not supported",
            0x0105 => "no such attribute",
            0x0106 => "invalid attribute value",
            0x0107 => "attribute list error",
            0x0110 => "processing failure",
            0x0111 => "duplicate SOP instance",
            0x0112 => "no such SOP instance",
            0x0113 => "no such event type",
            0x0114 => "no such argument",
            0x0115 => "invalid argument value",
            0x0116 => "attribute value out of range",
            0x0117 => "invalid SOP instance",
            0x0118 => "no such SOP class",
            0x0119 => "class and instance conflict",
            0x0120 => "missing attribute",
            0x0121 => "missing attribute value",
            0x0122 => "SOP class not supported",
            0x0123 => "no such action type",
            0x0124 => "not authorised",
            0x0210 => "duplicate invocation",
            0x0211 => "unrecognised operation",
            0x0212 => "mistyped argument",
            0x0213 => "resource limitation",
            0xA700..=0xA7FF => "out of resources",
            0xA801 => "move destination unknown",
            0xA900..=0xA9FF => "data set does not match SOP class",
            0xB000 => "coercion of data elements",
            0xB006 => "elements discarded",
            0xB007 => "data set does not match SOP class (warning)",
            0xB001..=0xBFFF => "warning",
            0xC111 => "same SOP Instance UID with other content",
            0xC000..=0xCFFF => "cannot understand",
            0xFE00 => "cancelled",
            0xFF00 | 0xFF01 => "pending",
            _ => "unknown status",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x} {}", self.0, self.meaning())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({:#06x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_fall_into_their_groups() {
        for (code, class) in [
            (0x0000, StatusClass::Success),
            (0x0001, StatusClass::Warning),
            (0x0107, StatusClass::Warning),
            (0x0116, StatusClass::Warning),
            (0x0110, StatusClass::Failure),
            (0x0122, StatusClass::Failure),
            (0x0211, StatusClass::Failure),
            (0xA700, StatusClass::Failure),
            (0xA900, StatusClass::Failure),
            (0xB000, StatusClass::Warning),
            (0xB006, StatusClass::Warning),
            (0xB007, StatusClass::Warning),
            (0xBFFF, StatusClass::Warning),
            (0xC000, StatusClass::Failure),
            (0xFE00, StatusClass::Cancel),
            (0xFF00, StatusClass::Pending),
            (0xFF01, StatusClass::Pending),
        ] {
            assert_eq!(Status(code).class(), class, "{code:#06x}");
        }
    }

    #[test]
    fn only_a_lack_of_resources_passes_by_itself() {
        assert!(Status(0xA700).is_transient() && Status(0xA7FF).is_transient() && Status(0x0213).is_transient());
        assert!(!Status(0xA900).is_transient() && !Status(0x0210).is_transient() && !Status(0xC000).is_transient());
    }

    #[test]
    fn a_status_reads_as_code_and_words() {
        assert_eq!(Status::SOP_CLASS_NOT_SUPPORTED.to_string(), "0x0122 SOP class not supported");
    }
}
