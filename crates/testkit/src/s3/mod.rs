//! An S3 server for a test: s3s-fs behind a small HTTP door of ours, because the faults that matter happen there. It keeps its objects in a
//! temporary folder and runs on a thread of its own, so that a test may block. And moto, another maker's idea of S3, for comparison.

mod http;
mod moto;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::sync::oneshot;

pub use http::{Fault, RequestHead};
pub use moto::MotoServer;

/// What signs requests to every server of this module.
pub const ACCESS_KEY: &str = "dokuei-test";
/// See [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "dokuei-test-secret";
/// The bucket that is there from the start.
pub const BUCKET: &str = "dokuei";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    #[error("cannot prepare the folder or port of the S3 server")]
    Prepare(#[from] std::io::Error),
    #[error("cannot start the S3 server: {0}")]
    Start(String),
    #[error("cannot install moto")]
    Python(#[from] crate::python::PythonError),
    #[error("cannot run moto")]
    Tool(#[from] crate::tool::ToolError),
    #[error("moto did not start")]
    Process(#[from] crate::process::ProcessError),
}

/// A running server; it ends and its objects go when this is dropped.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    folder: tempfile::TempDir,
    door: Arc<http::Door>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl S3Server {
    /// Starts a server with the empty bucket [`BUCKET`] on a free loopback port.
    pub fn start() -> Result<Self, S3Error> {
        let folder = tempfile::Builder::new().prefix("dokuei-s3.").tempdir()?;
        std::fs::create_dir(folder.path().join(BUCKET))?;
        let files = s3s_fs::FileSystem::new(folder.path()).map_err(|error| S3Error::Start(format!("{error:?}")))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let door = Arc::new(http::Door::new(service.build()));

        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let serving = Arc::clone(&door);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = serving.serve(listener) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        Ok(Self { address, folder, door, stop: Some(stop), thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The store's address for `image_store.url`, with everything below `prefix` (such as `node-a`; may be empty).
    pub fn url(&self, prefix: &str) -> String {
        store_url(self.address, prefix)
    }

    /// From now on each request is first shown to `choose`. `|_| Fault::None` ends it.
    pub fn set_faults(&self, choose: impl FnMut(&RequestHead) -> Fault + Send + 'static) {
        self.door.set_faults(Box::new(choose));
    }

    /// How many requests have arrived so far.
    pub fn requests(&self) -> u64 {
        self.door.requests()
    }

    /// The files of all objects whose key begins with `prefix` and a slash.
    pub fn objects(&self, prefix: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.folder.path().join(BUCKET).join(prefix), &mut found);
        found.sort();
        found
    }

    /// Parts of multipart uploads that were neither completed nor aborted.
    pub fn parts_of_unfinished_uploads(&self) -> usize {
        let entries = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".upload_id-")).count()
    }
}

/// The address of a store on an S3 server of a test.
pub fn store_url(server: SocketAddr, prefix: &str) -> String {
    let slash = if prefix.is_empty() { "" } else { "/" };
    format!("s3://{BUCKET}{slash}{prefix}?endpoint=http://{server}&region=us-east-1")
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&entry.path(), into),
            Ok(_) => into.push(entry.path()),
            Err(_) => {}
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    fn ask(server: &S3Server, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn it_answers_strangers_with_a_refusal_and_commits_the_fault_that_was_asked_for() {
        let server = S3Server::start().unwrap();
        let request = format!("GET /{BUCKET}?list-type=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = ask(&server, &request);
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");

        server.set_faults(|head| if head.method == "GET" { Fault::Refuse(503) } else { Fault::None });
        let answer = ask(&server, &request);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");

        server.set_faults(|_| Fault::LoseAnswer);
        assert_eq!(ask(&server, &request), "");
        assert_eq!(server.requests(), 3);
        assert!(server.objects("").is_empty());
    }
}
