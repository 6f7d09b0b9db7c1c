//! How many of everything one server takes, in all and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts something by address.
#[derive(Debug, Default)]
pub(super) struct PerAddress(Mutex<HashMap<IpAddr, usize>>);

/// One of what is counted; given back when dropped.
#[derive(Debug)]
pub(super) struct AddressSlot {
    counts: Arc<PerAddress>,
    ip: IpAddr,
}

impl PerAddress {
    /// `None`: the address has its share.
    pub(super) fn take(self: &Arc<Self>, ip: IpAddr, most: usize) -> Option<AddressSlot> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_default();
        if *count >= most {
            // Of an address without any, only when nobody may have any.
            if *count == 0 {
                counts.remove(&ip);
            }
            return None;
        }
        *count += 1;
        Some(AddressSlot { counts: Arc::clone(self), ip })
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

/// Associations, in all and per address.
#[derive(Debug)]
pub(super) struct AssociationLimit {
    all: Arc<Semaphore>,
    per_peer: Arc<PerAddress>,
    most_per_peer: Option<usize>,
}

/// One association's share.
pub(super) struct AssociationSlot {
    _all: OwnedSemaphorePermit,
    _peer: Option<AddressSlot>,
}

impl AssociationLimit {
    pub(super) fn new(most: usize, most_per_peer: Option<usize>) -> Self {
        Self { all: Arc::new(Semaphore::new(most)), per_peer: Arc::default(), most_per_peer }
    }

    pub(super) fn take(&self, ip: IpAddr) -> Option<AssociationSlot> {
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let peer = match self.most_per_peer {
            None => None,
            Some(most) => Some(self.per_peer.take(ip, most)?),
        };
        Some(AssociationSlot { _all: all, _peer: peer })
    }
}

/// Whose connections count together: an IPv4 address, or the network of 64 bits that one IPv6 subscriber has.
pub(super) fn subscriber(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_until_it_gives_back() {
        let counts: Arc<PerAddress> = Arc::default();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = counts.take(one, 2).unwrap();
        let _second = counts.take(one, 2).unwrap();
        assert!(counts.take(one, 2).is_none());
        let third = counts.take(other, 2);
        assert!(third.is_some());
        drop((first, third));
        assert!(counts.take(one, 2).is_some());
        assert!(counts.take(other, 0).is_none());
        assert_eq!(counts.0.lock().unwrap().len(), 1, "what is at zero is forgotten");
    }

    #[test]
    fn addresses_of_one_subscriber_count_together() {
        let of = |text: &str| subscriber(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
