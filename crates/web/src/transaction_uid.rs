//! The Transaction UID of a claim made in the web.

use aws_lc_rs::hmac;
use dokuei_domain::AccountId;

/// Derives the Transaction UID under which an account claims a workitem (PS3.4 CC.2.1).
///
/// It is not stored and never shown to a browser: the same reader gets the same one again in another browser or after a restart, and nobody gets another
/// reader's. A page names the workitem it works on, so that one that was left open under an earlier workitem can neither save nor sign.
#[derive(Clone)]
pub struct TransactionUids(hmac::Key);

impl TransactionUids {
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A UID under the UUID root (PS3.5 B.2) whose number is the first half of an HMAC-SHA256.
    pub fn derive(&self, workitem: &str, account: &AccountId) -> String {
        let tag = hmac::sign(&self.0, format!("{workitem}|{account}").as_bytes());
        let mut number = [0; 16];
        for (byte, from) in number.iter_mut().zip(tag.as_ref()) {
            *byte = *from;
        }
        format!("2.25.{}", u128::from_be_bytes(number))
    }
}

impl std::fmt::Debug for TransactionUids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TransactionUids")
    }
}

#[cfg(test)]
mod tests {
    use dokuei_domain::Uid;

    use super::*;

    #[test]
    fn each_reader_and_workitem_and_node_has_its_own() {
        let uids = TransactionUids::new(&[7; 32]);
        let (r1, r2) = (AccountId::parse("R1").unwrap(), AccountId::parse("R2").unwrap());

        let first = uids.derive("2.25.1", &r1);

        assert!(Uid::parse(&first).is_ok(), "{first}");
        assert_eq!(first, TransactionUids::new(&[7; 32]).derive("2.25.1", &r1), "the same again, also after a restart");
        assert_ne!(first, uids.derive("2.25.2", &r1));
        assert_ne!(first, uids.derive("2.25.1", &r2));
        assert_ne!(first, TransactionUids::new(&[8; 32]).derive("2.25.1", &r1));
    }
}
