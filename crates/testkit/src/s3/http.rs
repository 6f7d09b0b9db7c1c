//! As much of HTTP/1.1 as an S3 client speaks: requests with a length, kept-alive connections, answers with a length.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use s3s::service::S3Service;
use s3s::{Body, HttpRequest, HttpResponse};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const MOST_HEADER_BYTES: usize = 64 * 1024;
const MOST_BODY_BYTES: usize = 64 * 1024 * 1024;

/// What goes wrong with one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// This status, without looking at the request.
    Refuse(u16),
    /// The connection ends after so many bytes of the request's body.
    CutAfter(usize),
    /// The request is carried out, and the connection ends instead of the answer.
    LoseAnswer,
    /// The answer ends in the middle of its body.
    CutAnswer,
    /// The answer leaves after this time.
    Delay(Duration),
    /// This answer, head and body as they go over the wire, without carrying the request out.
    Answer(&'static str),
}

/// What a fault is chosen by.
#[derive(Clone, Debug)]
pub struct RequestHead {
    pub method: String,
    /// Such as `/bucket/prefix/v1/HOSP1/0199…`.
    pub path: String,
    /// Without the question mark; empty when there is none.
    pub query: String,
    pub body_bytes: usize,
}

type Choose = Box<dyn FnMut(&RequestHead) -> Fault + Send>;

pub(super) struct Door {
    service: S3Service,
    choose: Mutex<Choose>,
    requests: AtomicU64,
    /// S3 lets exactly one of several conditional writes win; s3s-fs looks first and writes then.
    conditional: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

impl Door {
    pub(super) fn new(service: S3Service) -> Self {
        Self {
            service,
            choose: Mutex::new(Box::new(|_| Fault::None)),
            requests: AtomicU64::new(0),
            conditional: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn set_faults(&self, choose: Choose) {
        *self.choose.lock().unwrap_or_else(PoisonError::into_inner) = choose;
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let door = Arc::clone(&self);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                // A connection that breaks is the client's to notice.
                while let Ok(true) = door.one(&mut stream).await {}
            });
        }
    }

    /// Answers one request; `false` when the connection is to be closed.
    async fn one(&self, stream: &mut BufReader<TcpStream>) -> io::Result<bool> {
        let Some((head, headers)) = read_head(stream).await? else { return Ok(false) };
        self.requests.fetch_add(1, Ordering::Relaxed);
        let fault = self.choose.lock().unwrap_or_else(PoisonError::into_inner)(&head);
        if let Fault::CutAfter(bytes) = fault {
            stream.read_exact(&mut vec![0; bytes.min(head.body_bytes)]).await?;
            return Ok(false);
        }
        let mut body = vec![0; head.body_bytes];
        stream.read_exact(&mut body).await?;
        let stays = headers.get("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        if let Fault::Refuse(status) = fault {
            stream.write_all(format!("HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\n\r\n").as_bytes()).await?;
            return Ok(stays);
        }
        if let Fault::Answer(text) = fault {
            stream.write_all(text.as_bytes()).await?;
            return Ok(false);
        }
        let is_head = head.method == "HEAD";
        let conditional = headers.contains_key("if-none-match");
        let request = to_request(&head, &headers, body)?;
        let answered = {
            let _first = if conditional { Some(self.conditional.lock().await) } else { None };
            self.service.call(request).await.map_err(|error| io::Error::other(format!("{error:?}")))?
        };
        let (head, body) = to_bytes(answered, is_head).await?;
        match fault {
            Fault::LoseAnswer => return Ok(false),
            Fault::Delay(time) => tokio::time::sleep(time).await,
            _ => {}
        }
        stream.write_all(&head).await?;
        if fault == Fault::CutAnswer {
            stream.write_all(&body[..body.len() / 2]).await?;
            stream.flush().await?;
            return Ok(false);
        }
        stream.write_all(&body).await?;
        stream.flush().await?;
        Ok(stays)
    }
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<(RequestHead, HashMap<String, String>)>> {
    let refuse = || io::Error::from(io::ErrorKind::InvalidData);
    let mut lines = Vec::new();
    let mut bytes = 0;
    loop {
        let mut line = String::new();
        let read = stream.take(MOST_HEADER_BYTES as u64).read_line(&mut line).await?;
        bytes += read;
        if read == 0 && lines.is_empty() {
            return Ok(None);
        }
        if read == 0 || bytes > MOST_HEADER_BYTES {
            return Err(refuse());
        }
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let mut words = lines.first().ok_or_else(refuse)?.split(' ');
    let (method, target) = words.next().zip(words.next()).ok_or_else(refuse)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: HashMap<_, _> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body_bytes = headers.get("content-length").map_or(Ok(0), |text| text.parse()).map_err(|_| refuse())?;
    if body_bytes > MOST_BODY_BYTES || headers.contains_key("transfer-encoding") {
        return Err(refuse());
    }
    let head = RequestHead { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), body_bytes };
    Ok(Some((head, headers)))
}

fn to_request(head: &RequestHead, headers: &HashMap<String, String>, body: Vec<u8>) -> io::Result<HttpRequest> {
    let mut request = HttpRequest::new(Body::from(Bytes::from(body)));
    let target = if head.query.is_empty() { head.path.clone() } else { format!("{}?{}", head.path, head.query) };
    *request.method_mut() = head.method.parse().map_err(io::Error::other)?;
    *request.uri_mut() = target.parse().map_err(io::Error::other)?;
    *request.headers_mut() = headers.try_into().map_err(io::Error::other)?;
    Ok(request)
}

async fn to_bytes(response: HttpResponse, is_head: bool) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.next().await {
        body.extend_from_slice(&chunk.map_err(io::Error::other)?);
    }
    let mut head = format!("HTTP/1.1 {} {}\r\n", parts.status.as_u16(), parts.status.canonical_reason().unwrap_or("-"));
    for (name, value) in &parts.headers {
        let name = name.as_str();
        let length = name == "content-length";
        if name == "transfer-encoding" || name == "connection" || (length && !is_head) {
            continue;
        }
        head.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
    }
    if !is_head && parts.status.as_u16() != 204 && parts.status.as_u16() != 304 {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    Ok((head.into_bytes(), if is_head { Vec::new() } else { body }))
}
