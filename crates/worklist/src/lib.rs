//! dokuei-worklist
