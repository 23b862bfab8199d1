//! One opened file: recognised and decompressed by its first bytes, its raw bytes counted for the progress bar.
//!
//! What the bytes say counts, not the name: a pipe has none. A name that promises compression must keep it, though: a
//! download that failed often leaves an empty or an HTML file behind.

use super::error::SourceError;
use flate2::read::MultiGzDecoder;
use std::{
    fmt,
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Enough of the start to tell every kind apart.
const MAGIC_BYTES: usize = 6;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Gzip,
    Zstd,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn of_name(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// See the module.
pub(crate) struct Input {
    name: String,
    kind: Kind,
    reader: Box<dyn Read + Send>,
    /// Counts what is read of a plain file; of a compressed one its raw bytes are counted underneath.
    plain_bytes: Option<Arc<AtomicU64>>,
    total_bytes: Option<u64>,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Input {
    pub(crate) fn open(path: &Path, read_bytes: Arc<AtomicU64>) -> Result<Self, SourceError> {
        if is_stdin(path) {
            return Self::new("standard input".to_owned(), Kind::Plain, io::stdin(), None, read_bytes);
        }
        let name = path.display().to_string();
        let fail = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => SourceError::Absent { file: name.clone() },
            _ => SourceError::Open { file: name.clone(), error },
        };
        let file = File::open(path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        if metadata.is_dir() {
            return Err(SourceError::Directory { file: name });
        }
        let total_bytes = metadata.is_file().then_some(metadata.len());
        Self::new(name, Kind::of_name(path), file, total_bytes, read_bytes)
    }

    fn new(
        name: String,
        promised: Kind,
        mut raw: impl Read + Send + 'static,
        total_bytes: Option<u64>,
        read_bytes: Arc<AtomicU64>,
    ) -> Result<Self, SourceError> {
        let mut magic = Vec::with_capacity(MAGIC_BYTES);
        let limit = u64::try_from(MAGIC_BYTES).unwrap_or(u64::MAX);
        let read = (&mut raw).take(limit).read_to_end(&mut magic);
        read.map_err(|error| SourceError::Open { file: name.clone(), error })?;
        let kind = recognise(&magic, &name)?;
        if kind == Kind::Plain && promised != Kind::Plain {
            return Err(SourceError::NotCompressed { file: name, kind: promised.name() });
        }
        add(&read_bytes, magic.len());
        let bom = magic.starts_with(b"\xef\xbb\xbf");
        let mut start = Cursor::new(magic);
        start.set_position(if bom { 3 } else { 0 });
        let plain_bytes = (kind == Kind::Plain).then(|| Arc::clone(&read_bytes));
        let reader: Box<dyn Read + Send> = match kind {
            Kind::Plain => Box::new(start.chain(raw)),
            Kind::Gzip => {
                let counted = start.chain(Counted { raw, read_bytes });
                Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(64 << 10, counted)))
            }
            Kind::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(start.chain(Counted { raw, read_bytes }));
                Box::new(decoder.map_err(|error| SourceError::Open { file: name.clone(), error })?)
            }
        };
        Ok(Self { name, kind, reader, plain_bytes, total_bytes })
    }

    /// Appends what comes next, up to so many bytes, and says how many; fewer only at the end. Room that is not written
    /// yet is not cleared first, as a reader of one's own between here and the file would have it.
    pub(super) fn fill(&mut self, bytes: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let read = (&mut self.reader).take(most).read_to_end(bytes)?;
        self.count(read);
        Ok(read)
    }

    fn count(&self, read: usize) {
        if let Some(plain_bytes) = &self.plain_bytes {
            add(plain_bytes, read);
        }
    }

    /// As shown to people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// What a failed read means; `line`: the last one read whole.
    pub(crate) fn explain(&self, error: io::Error, line: i64) -> SourceError {
        let (file, kind) = (self.name.clone(), self.kind.name());
        match (self.kind, error.kind()) {
            (Kind::Plain, _) => SourceError::Read { file, line: line + 1, error },
            (Kind::Gzip, io::ErrorKind::UnexpectedEof) => {
                SourceError::Truncated { file, kind, line, rescue: "gzip -dcf" }
            }
            (Kind::Zstd, io::ErrorKind::UnexpectedEof) => {
                SourceError::Truncated { file, kind, line, rescue: "zstd -dcf" }
            }
            _ => SourceError::Corrupt { file, kind, line, error },
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.count(read);
        Ok(read)
    }
}

fn add(bytes: &AtomicU64, read: usize) {
    bytes.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
}

fn recognise(magic: &[u8], file: &str) -> Result<Kind, SourceError> {
    let other = |kind| Err(SourceError::OtherCompression { file: file.to_owned(), kind });
    match magic {
        [0x1f, 0x8b, ..] => Ok(Kind::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Kind::Zstd),
        [b'P', b'K', 3, 4, ..] => other("zip"),
        [b'B', b'Z', b'h', ..] => other("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => other("xz"),
        _ => Ok(Kind::Plain),
    }
}

/// `-` stands for standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

struct Counted<R> {
    raw: R,
    read_bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.raw.read(buffer)?;
        add(&self.read_bytes, read);
        Ok(read)
    }
}
