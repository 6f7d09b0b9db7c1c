//! The JSON interface of the reading page and the worklist. Shapes are those of `ui/src/api.ts`.

pub(crate) mod draft;
pub(crate) mod health;
pub(crate) mod series;
pub(crate) mod sign;
pub(crate) mod worklist;
