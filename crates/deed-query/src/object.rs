//! The ledger's store as DataFusion wants to see one: read only.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::object_store::{
    self, Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    path::Path,
};
use deed_ledger::store::{Store, StoreError};
use futures::{StreamExt, stream, stream::BoxStream};

const NAME: &str = "deed";

/// Reads objects of a [`Store`]; writes, lists and deletes nothing.
pub(crate) struct ReadOnly(pub(crate) Arc<dyn Store>);

impl fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

impl fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

#[async_trait]
impl ObjectStore for ReadOnly {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let (store, path) = (self.0.clone(), location.clone());
        // Storage blocks; the threads that run queries must not.
        let read = move || -> Result<(u64, Range<u64>, Bytes), StoreError> {
            let size = store.size(path.as_ref())?;
            if options.head {
                return Ok((size, 0..0, Bytes::new()));
            }
            let range = match options.range {
                None => 0..size,
                Some(range) => range.as_range(size).map_err(|_| StoreError::Short {
                    path: path.to_string(),
                    size,
                    wanted: size,
                })?,
            };
            let bytes = store.read_range(path.as_ref(), range.clone())?;
            Ok((size, range, bytes.into()))
        };
        let (size, range, bytes) = tokio::task::spawn_blocking(read)
            .await
            .map_err(|source| Error::JoinError { source })?
            .map_err(|source| match source {
                StoreError::Missing(path) => {
                    Error::NotFound { path: path.clone(), source: Box::new(StoreError::Missing(path)) }
                }
                source => Error::Generic { store: NAME, source: Box::new(source) },
            })?;
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed()),
            meta: ObjectMeta {
                location: location.clone(),
                last_modified: Default::default(),
                size,
                e_tag: None,
                version: None,
            },
            range,
            attributes: Attributes::default(),
        })
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> object_store::Result<PutResult> {
        Err(read_only("put"))
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Err(read_only("put"))
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        stream::once(async { Err(read_only("delete")) }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        stream::once(async { Err(read_only("list")) }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> object_store::Result<ListResult> {
        Err(read_only("list"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> object_store::Result<()> {
        Err(read_only("copy"))
    }
}

fn read_only(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: NAME.to_owned() }
}
