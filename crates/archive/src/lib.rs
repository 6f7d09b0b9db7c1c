//! dokuei-archive
