//! dokuei-web
