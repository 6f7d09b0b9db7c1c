//! dokuei-image-store
