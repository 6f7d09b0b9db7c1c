//! In which character set a data set goes to a destination.
//!
//! A destination says which declarations it reads; UTF-8 is used only where it is among them. A data set has one (0008,0005) for all its
//! texts, so all of them are asked before the first is written: [`DestinationCharacterSets::choose`].

use crate::{Kind, SpecificCharacterSet, UnknownTerm, Unrepresentable, encode};

/// The declarations of (0008,0005) that a destination reads, in the order in which they are tried. The default repertoire is always
/// among them and tried first: what is ASCII needs no declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationCharacterSets {
    default: SpecificCharacterSet,
    others: Vec<SpecificCharacterSet>,
}

/// Why a destination's declarations cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    #[error("declaration {} of the destination has an unknown term", .number + 1)]
    Unknown {
        /// Which declaration, from 0.
        number: usize,
        #[source]
        source: UnknownTerm,
    },
    /// What is said of a destination is typed by a person, who can correct it.
    #[error("declaration {} of the destination is misspelled; write `{meant}`", .number + 1)]
    Misspelled { number: usize, meant: String },
}

/// One text that is to go out. The delimiters that its VR gives a meaning to are not repertoire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    kind: Kind,
    text: &'a str,
}

impl<'a> Outgoing<'a> {
    /// One value of SH, LO or UC.
    pub fn value(text: &'a str) -> Self {
        Self { kind: Kind::Values, text }
    }

    /// The value of ST, LT or UT.
    pub fn text(text: &'a str) -> Self {
        Self { kind: Kind::Text, text }
    }

    /// One value of PN, with its component groups.
    pub fn person_name(text: &'a str) -> Self {
        Self { kind: Kind::PersonName, text }
    }
}

impl DestinationCharacterSets {
    /// For a destination of which nothing else is known: what every Japanese system reads, and no UTF-8.
    pub fn japanese() -> Self {
        Self::of(SpecificCharacterSet::parse_lossy(b"\\ISO 2022 IR 87").0)
    }

    /// For a destination that reads everything.
    pub fn utf8() -> Self {
        Self::of(SpecificCharacterSet::utf8())
    }

    fn of(other: SpecificCharacterSet) -> Self {
        Self { default: SpecificCharacterSet::default(), others: vec![other] }
    }

    /// Reads declarations as they would stand in (0008,0005), such as `\ISO 2022 IR 87` or `ISO_IR 192`.
    ///
    /// # Errors
    ///
    /// The first declaration that is not spelled as PS3.3 C.12.1.1.2 has it.
    pub fn parse<S: AsRef<str>>(declarations: &[S]) -> Result<Self, DestinationError> {
        let default = SpecificCharacterSet::default();
        let mut others = Vec::with_capacity(declarations.len());
        for (number, declaration) in declarations.iter().enumerate() {
            let declaration = SpecificCharacterSet::parse(declaration.as_ref().as_bytes())
                .map_err(|source| DestinationError::Unknown { number, source })?;
            if declaration.is_repaired() {
                return Err(DestinationError::Misspelled { number, meant: declaration.defined_terms() });
            }
            if declaration != default && !others.contains(&declaration) {
                others.push(declaration);
            }
        }
        Ok(Self { default, others })
    }

    /// The first declaration that carries all of the texts. Encode with it.
    ///
    /// # Errors
    ///
    /// The character that stopped the declaration which came farthest; its `value_index` counts the texts. Nothing is ever replaced: choose
    /// another way to send it, another spelling, or tell a person.
    pub fn choose(&self, texts: &[Outgoing<'_>]) -> Result<&SpecificCharacterSet, Unrepresentable> {
        let Some(mut farthest) = refused(&self.default, texts) else { return Ok(&self.default) };
        for declaration in &self.others {
            let Some(error) = refused(declaration, texts) else { return Ok(declaration) };
            if (error.value_index, error.position) >= (farthest.value_index, farthest.position) {
                farthest = error;
            }
        }
        Err(farthest)
    }
}

fn refused(declaration: &SpecificCharacterSet, texts: &[Outgoing<'_>]) -> Option<Unrepresentable> {
    texts.iter().enumerate().find_map(|(index, outgoing)| {
        encode::encode(declaration, outgoing.text, outgoing.kind).err().map(|error| error.in_value(index))
    })
}
