//! Multipart uploads that their writers left when they died.
//!
//! The client library cannot list uploads, so the one request is signed and sent here (`ListMultipartUploads`). A server that does not know it is
//! left to a lifecycle rule of its bucket.

use std::time::Duration;

use jiff::Timestamp;
use object_store::ClientOptions;
use object_store::aws::AmazonS3;
use object_store::client::{HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::multipart::MultipartStore as _;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer as _};

use super::{S3Store, errors};
use crate::{StoreError, StoreErrorKind};

/// Whether a writer on another node is alive cannot be seen; whoever has been sending one object for so long is not.
const YOUNGEST_ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// A page of 1,000 uploads has some 400 KiB.
const MOST_ANSWER_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Sweeper {
    http: HttpClient,
}

#[derive(Debug, PartialEq, Eq)]
struct Unfinished {
    object: String,
    id: String,
    begun: Timestamp,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    uploads: Vec<Unfinished>,
    /// Where the next page begins: key and upload.
    next: Option<(String, String)>,
}

impl Sweeper {
    pub(super) fn new(options: &ClientOptions) -> Result<Self, object_store::Error> {
        Ok(Self { http: ReqwestConnector::default().connect(options)? })
    }

    /// Aborts what was begun more than `older_than` ago, and never less than a day: other nodes write too. Ages count by the server's clock.
    pub(super) async fn sweep(&self, store: &S3Store, older_than: Duration) -> Result<u64, StoreError> {
        let older_than = older_than.max(YOUNGEST_ABANDONED);
        let mut removed = 0;
        let mut next = None;
        loop {
            let Some((page, now)) = self.page(store, next.as_ref()).await? else { return Ok(removed) };
            for upload in page.uploads {
                let age = now.duration_since(upload.begun).unsigned_abs();
                if upload.begun > now || age < older_than || store.lock_under_way().contains(&upload.id) {
                    continue;
                }
                let path = Path::from(upload.object);
                match store.sender.abort_multipart(&path, &upload.id).await {
                    Ok(()) => removed += 1,
                    // Another node's sweep was here.
                    Err(object_store::Error::NotFound { .. }) => {}
                    Err(cause) => return Err(errors::writing("sweep staging area", None, cause)),
                }
            }
            match page.next {
                // A server that does not move on would be asked for ever.
                Some(later) if next.as_ref() != Some(&later) => next = Some(later),
                _ => return Ok(removed),
            }
        }
    }

    /// `None` when the server cannot list uploads.
    async fn page(
        &self,
        store: &S3Store,
        after: Option<&(String, String)>,
    ) -> Result<Option<(Page, Timestamp)>, StoreError> {
        let failed = |kind| StoreError::new(kind, "sweep staging area", None);
        let url = self.signed(&store.sender, &store.address.prefix, after, store.limits.attempt).await;
        let url = url.map_err(|cause| errors::writing("sweep staging area", None, cause))?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse().map_err(|cause| failed(StoreErrorKind::Internal).because(cause))?;
        let answer = self.http.execute(request).await;
        let answer = answer.map_err(|cause| failed(StoreErrorKind::Unavailable).because(cause))?;
        let status = answer.status().as_u16();
        if matches!(status, 400 | 404 | 405 | 501) {
            tracing::debug!(
                status,
                "the S3 server does not list unfinished uploads; a lifecycle rule of the bucket can end them"
            );
            return Ok(None);
        }
        if status != 200 {
            return Err(failed(StoreErrorKind::Unavailable)
                .because(format!("unfinished uploads are not listed: status {status}")));
        }
        let now = answer.headers().get("date").and_then(|date| date.to_str().ok());
        let now = now.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let now =
            now.ok_or_else(|| failed(StoreErrorKind::Unavailable).because("the S3 server does not tell the time"))?;
        let body = answer.into_body().bytes().await;
        let body = body.map_err(|cause| failed(StoreErrorKind::Unavailable).because(cause))?;
        if body.len() > MOST_ANSWER_BYTES {
            return Err(failed(StoreErrorKind::Unavailable).because("the list of unfinished uploads is absurdly long"));
        }
        Ok(Some((read_page(&String::from_utf8_lossy(&body)), now.timestamp())))
    }

    async fn signed(
        &self,
        client: &AmazonS3,
        prefix: &str,
        after: Option<&(String, String)>,
        valid: Duration,
    ) -> Result<object_store::signer::Url, object_store::Error> {
        let mut query = vec![("uploads", ""), ("prefix", prefix)];
        if let Some((key, upload)) = after {
            query.extend([("key-marker", key.as_str()), ("upload-id-marker", upload.as_str())]);
        }
        let options = SignedUrlOptions::new().with_query(query);
        client.signed_url_opts(Method::GET, &Path::from(""), valid.max(Duration::from_secs(60)), &options).await
    }
}

/// Reads the answer. What is not understood is left out: nothing is aborted that was not read in full.
fn read_page(xml: &str) -> Page {
    let uploads = elements(xml, "Upload").filter_map(|upload| {
        Some(Unfinished {
            object: text_of(upload, "Key")?,
            id: text_of(upload, "UploadId")?,
            begun: text_of(upload, "Initiated")?.parse().ok()?,
        })
    });
    let uploads = uploads.collect();
    let next = (text_of(xml, "IsTruncated").as_deref() == Some("true"))
        .then(|| text_of(xml, "NextKeyMarker").zip(text_of(xml, "NextUploadIdMarker")))
        .flatten();
    Page { uploads, next }
}

/// The contents of the elements of this name; none of ours has attributes or contains its like.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(open.as_str())?;
        let (content, later) = after.split_once(close.as_str())?;
        rest = later;
        Some(content)
    })
}

fn text_of(xml: &str, name: &str) -> Option<String> {
    let text = elements(xml, name).next()?;
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    Some(plain.replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_uploads_is_read_and_what_is_not_understood_is_left_out() {
        let xml = "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <NextKeyMarker>v1/b</NextKeyMarker><NextUploadIdMarker>u&amp;2</NextUploadIdMarker><IsTruncated>true</IsTruncated>\
            <Upload><Key>v1/a</Key><UploadId>u1&lt;</UploadId><Initiated>2026-11-20T01:02:03.000Z</Initiated></Upload>\
            <Upload><Key>v1/b</Key><UploadId>u&amp;2</UploadId><Initiated>yesterday</Initiated></Upload>\
            <Upload><Key>v1/c</Key></Upload></ListMultipartUploadsResult>";
        let page = read_page(xml);
        let begun = "2026-11-20T01:02:03Z".parse().unwrap();
        assert_eq!(page.uploads, [Unfinished { object: "v1/a".into(), id: "u1<".into(), begun }]);
        assert_eq!(page.next, Some(("v1/b".into(), "u&2".into())));
        for empty in ["", "<Upload>", "<Upload></Upload>", "<IsTruncated>true</IsTruncated>"] {
            assert_eq!(read_page(empty), Page::default(), "{empty}");
        }
    }
}
