//! Which character set holds where in a data set.
//!
//! An item without Specific Character Set (0008,0005) has that of the data set around it, one with it has its own (PS3.3 C.12.1.1.2). The
//! attribute comes before every text of its level, so one pass is enough.

use dokuei_charset::{Decoded, SpecificCharacterSet};

use crate::vr::Vr;

/// The character sets of the levels that are open while a data set is walked. Fed from a [`Sink`](crate::tokenizer::Sink)'s calls.
#[derive(Clone, Debug, Default)]
pub struct CharacterSets {
    top: SpecificCharacterSet,
    /// Of the open items, outermost first; `None`: that of the level around it.
    items: Vec<Option<SpecificCharacterSet>>,
}

impl CharacterSets {
    /// An item begins, of whose elements the depth is told.
    pub fn item_start(&mut self, depth: usize) {
        self.items.resize(depth.saturating_sub(1), None);
        self.items.push(None);
    }

    /// The item ends.
    pub fn item_end(&mut self, depth: usize) {
        self.items.truncate(depth.saturating_sub(1));
    }

    /// The value of (0008,0005) at a depth. Unknown terms count as the default repertoire; false when there was something to repair.
    pub fn declare(&mut self, depth: usize, raw: &[u8]) -> bool {
        let (set, repaired) = SpecificCharacterSet::parse_lossy(raw);
        match depth.checked_sub(1) {
            None => self.top = set,
            Some(item) => {
                self.items.resize(depth, None);
                if let Some(own) = self.items.get_mut(item) {
                    *own = Some(set);
                }
            }
        }
        !repaired
    }

    /// What holds for an element at this depth.
    pub fn at(&self, depth: usize) -> &SpecificCharacterSet {
        self.items.iter().take(depth).rev().find_map(Option::as_ref).unwrap_or(&self.top)
    }

    /// The values of a text of this depth; `None` for a VR to which (0008,0005) does not apply (PS3.5 6.1.2.3).
    pub fn decode(&self, depth: usize, vr: Vr, raw: &[u8]) -> Option<Decoded<Vec<String>>> {
        let set = self.at(depth);
        match vr {
            Vr::SH | Vr::LO | Vr::UC => Some(set.decode_values(raw)),
            Vr::PN => Some(set.decode_person_names(raw)),
            Vr::ST | Vr::LT | Vr::UT => {
                let Decoded { value, repaired } = set.decode_text(raw);
                let value = if value.is_empty() { Vec::new() } else { vec![value] };
                Some(Decoded { value, repaired })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_inherits_or_has_its_own_and_gives_it_back_at_its_end() {
        let mut sets = CharacterSets::default();
        assert!(sets.declare(0, b"ISO_IR 100"));
        sets.item_start(1);
        assert_eq!(sets.at(1).defined_terms(), "ISO_IR 100");
        assert!(sets.declare(1, b"\\ISO 2022 IR 87"));
        sets.item_start(2);
        assert_eq!(sets.at(2).defined_terms(), "\\ISO 2022 IR 87", "from the item around it");
        assert!(sets.declare(2, b"ISO_IR 192"));
        assert_eq!(sets.decode(2, Vr::LO, "山\\田".as_bytes()).unwrap().value, ["山", "田"]);
        assert_eq!(sets.at(1).defined_terms(), "\\ISO 2022 IR 87");
        sets.item_end(2);
        sets.item_start(2);
        assert_eq!(sets.at(2).defined_terms(), "\\ISO 2022 IR 87", "the next item has nothing of the one before");
        sets.item_end(2);
        sets.item_end(1);
        assert_eq!(sets.decode(0, Vr::LT, b"\xE9\\").unwrap().value, ["é\\"]);
        assert!(sets.decode(0, Vr::CS, b"CT").is_none());
        assert!(!sets.declare(0, b"NONSENSE"));
        assert_eq!(sets.at(0), &SpecificCharacterSet::default());
    }
}
