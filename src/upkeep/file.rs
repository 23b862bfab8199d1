//! The file of `state export`: a zstd frame, readable by any zstd, of a line with the format's number, a line of JSON with
//! the manifest, the blobs, the rows beside them, and at the end the blobs' number and a checksum of everything.
//!
//! What must stay true: whoever comes to the end has read what was written, all of it; a newer format is refused, an older
//! one read.

use crate::store::{Blob, Manifest, Rows, Table};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};

/// The format written here, and the newest that can be read.
const FORMAT: u32 = 1;
const MAGIC: &[u8; 20] = b"gocdnext-flow state ";
const BLOB: u8 = 1;
const ROWS: u8 = 2;
const END: u8 = 0;
/// Every zstd frame begins so.
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Longer lines are none of ours.
const LONGEST_LINE: u64 = 64 << 20;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("it was not written by `gocdnext-flow state export`")]
    Foreign,
    #[error(
        "it is of format {found}, and this version reads formats up to {FORMAT}: use the version that wrote it, or a newer one"
    )]
    Newer { found: u32 },
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it cannot be read: {0}")]
    Io(io::Error),
}

impl FileError {
    pub fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}

/// What stands in front.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version that wrote it.
    pub program: String,
    pub exported_at: String,
    pub epoch: u64,
    pub horizon: u64,
    pub stream_time_ms: Option<i64>,
    pub details: String,
}

impl Header {
    pub fn of(manifest: &Manifest, exported_at: String) -> Self {
        Self {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            exported_at,
            epoch: manifest.epoch,
            horizon: manifest.horizon,
            stream_time_ms: manifest.stream_time_ms,
            details: manifest.details.clone(),
        }
    }
}

/// What stands in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Blob(Blob),
    /// Behind all blobs.
    Rows(Rows),
}

/// Writes one.
pub struct Writer<W: Write> {
    out: zstd::Encoder<'static, W>,
    sum: crc32fast::Hasher,
    blobs: u64,
}

impl<W: Write> Writer<W> {
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut out = zstd::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
        out.include_checksum(true)?;
        let mut writer = Self { out, sum: crc32fast::Hasher::new(), blobs: 0 };
        let header = serde_json::to_string(header).map_err(io::Error::other)?;
        writer.put(MAGIC)?;
        writer.put(format!("{FORMAT}\n{header}\n").as_bytes())?;
        Ok(writer)
    }

    pub fn blob(&mut self, blob: &Blob) -> io::Result<()> {
        self.blobs += 1;
        self.put(&[BLOB])?;
        self.put(&blob.epoch.to_le_bytes())?;
        self.put(&blob.lane.to_le_bytes())?;
        self.put(&(blob.bytes.len() as u64).to_le_bytes())?;
        self.put(&blob.bytes)
    }

    pub fn rows(&mut self, rows: &Rows) -> io::Result<()> {
        self.put(&[ROWS, rows.table as u8])?;
        self.put(&(rows.json.len() as u64).to_le_bytes())?;
        self.put(rows.json.as_bytes())
    }

    /// Writes the end, and gives what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(&[END])?;
        self.put(&self.blobs.to_le_bytes())?;
        let sum = self.sum.clone().finalize();
        self.put(&sum.to_le_bytes())?;
        self.out.finish()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }
}

/// What was looked at already, and the rest.
type Rest<R> = io::Chain<&'static [u8], R>;

/// Reads one.
pub struct FileReader<R: Read> {
    content: BufReader<zstd::Decoder<'static, BufReader<Rest<R>>>>,
    sum: crc32fast::Hasher,
    blobs: u64,
    ended: bool,
}

/// Whether a file begins as an export does, of whatever format.
pub fn is_export(file: impl Read) -> io::Result<bool> {
    match FileReader::begin(file) {
        Ok(_) => Ok(true),
        Err(FileError::Io(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

impl<R: Read> FileReader<R> {
    pub fn open(file: R) -> Result<(Self, Header), FileError> {
        let mut reader = Self::begin(file)?;
        let format = reader.line()?.parse().map_err(|_| FileError::Foreign)?;
        if !(1..=FORMAT).contains(&format) {
            return Err(FileError::Newer { found: format });
        }
        let header = serde_json::from_str(&reader.line()?);
        Ok((reader, header.map_err(|error| FileError::damaged(format!("its header: {error}")))?))
    }

    /// Up to the format's number.
    fn begin(mut file: R) -> Result<Self, FileError> {
        let mut frame = [0; FRAME.len()];
        match file.read_exact(&mut frame) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(FileError::Io(error)),
            read if read.is_err() || frame != FRAME => return Err(FileError::Foreign),
            _ => {}
        }
        let decoder = zstd::Decoder::new(FRAME.chain(file)).map_err(FileError::Io)?;
        let content = BufReader::new(decoder);
        let mut reader = Self { content, sum: crc32fast::Hasher::new(), blobs: 0, ended: false };
        let magic: [u8; MAGIC.len()] = reader.array()?;
        if magic != *MAGIC {
            return Err(FileError::Foreign);
        }
        Ok(reader)
    }

    /// The next part; `None`: the end, and all that was read is as it was written.
    pub fn next(&mut self) -> Result<Option<Part>, FileError> {
        if self.ended {
            return Ok(None);
        }
        let [tag] = self.array()?;
        match tag {
            END => self.end().map(|()| None),
            BLOB => self.blob().map(|blob| Some(Part::Blob(blob))),
            ROWS => self.rows().map(|rows| Some(Part::Rows(rows))),
            other => Err(FileError::damaged(format!("a part of kind {other}"))),
        }
    }

    fn rows(&mut self) -> Result<Rows, FileError> {
        let [number] = self.array()?;
        let table = Table::from_number(number);
        let table = table.ok_or_else(|| FileError::damaged(format!("rows of a table {number}")))?;
        let len = u64::from_le_bytes(self.array()?);
        let json = String::from_utf8(self.bytes(len)?).map_err(|_| FileError::damaged("rows that are no text"))?;
        Ok(Rows { table, json })
    }

    fn blob(&mut self) -> Result<Blob, FileError> {
        let (epoch, lane) = (u64::from_le_bytes(self.array()?), u32::from_le_bytes(self.array()?));
        let len = u64::from_le_bytes(self.array()?);
        let bytes = self.bytes(len)?;
        self.blobs += 1;
        Ok(Blob { epoch, lane, bytes })
    }

    fn end(&mut self) -> Result<(), FileError> {
        let blobs = u64::from_le_bytes(self.array()?);
        let found = self.sum.clone().finalize();
        let written = u32::from_le_bytes(self.array()?);
        if found != written || blobs != self.blobs {
            return Err(FileError::damaged(format!("its checksum is {found:08x}, and {written:08x} was written")));
        }
        if self.content.read(&mut [0]).map_err(told)? > 0 {
            return Err(FileError::damaged("something stands behind its end"));
        }
        self.ended = true;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        let mut bytes = [0; N];
        self.content.read_exact(&mut bytes).map_err(told)?;
        self.sum.update(&bytes);
        Ok(bytes)
    }

    /// No more memory than there are bytes, whatever the length says.
    fn bytes(&mut self, len: u64) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        let read = self.content.by_ref().take(len).read_to_end(&mut bytes).map_err(told)?;
        if read as u64 != len {
            return Err(FileError::damaged("it is cut short"));
        }
        self.sum.update(&bytes);
        Ok(bytes)
    }

    fn line(&mut self) -> Result<String, FileError> {
        let mut line = Vec::new();
        self.content.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(told)?;
        self.sum.update(&line);
        if line.pop() != Some(b'\n') {
            return Err(FileError::damaged("it is cut short"));
        }
        String::from_utf8(line).map_err(|_| FileError::damaged("its header is no text"))
    }
}

/// zstd says of what kind a fault is only by its words.
fn told(error: io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => FileError::damaged("it is cut short"),
        io::ErrorKind::Other | io::ErrorKind::InvalidData => FileError::damaged(error.to_string()),
        _ => FileError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let manifest = Manifest { epoch: 9, horizon: 4, details: "{}".to_owned(), ..Manifest::default() };
        Header::of(&manifest, "2026-01-01T00:00:00Z".to_owned())
    }

    fn parts() -> Vec<Part> {
        let blob = |epoch, lane, bytes: &[u8]| Part::Blob(Blob { epoch, lane, bytes: bytes.to_vec() });
        let rows = Part::Rows(Rows { table: Table::Log, json: "[[1,2],[3,4]]".to_owned() });
        vec![blob(4, 0, b"one"), blob(4, 65_535, b""), blob(7, 0, &[7; 100_000]), rows]
    }

    fn written() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), &header()).unwrap();
        for part in parts() {
            match part {
                Part::Blob(blob) => writer.blob(&blob).unwrap(),
                Part::Rows(rows) => writer.rows(&rows).unwrap(),
            }
        }
        writer.finish().unwrap()
    }

    fn read(file: &[u8]) -> Result<(Header, Vec<Part>), FileError> {
        let (mut reader, header) = FileReader::open(file)?;
        let mut parts = vec![];
        while let Some(part) = reader.next()? {
            parts.push(part);
        }
        Ok((header, parts))
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&written()).unwrap(), (header(), parts()));
        let text = zstd::decode_all(&written()[..]).unwrap();
        assert!(text.starts_with(b"gocdnext-flow state 1\n{\"program\":"), "anybody may look at its head");
    }

    #[test]
    fn a_file_that_is_cut_or_changed_is_refused() {
        let whole = written();
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            // of zstd's own heads a bit may say nothing: then what is read is as it was written all the same
            assert!(read(&changed).map_or(true, |read| read == (header(), parts())), "changed at {at}");
        }
        let twice = [written(), written()].concat();
        assert!(matches!(read(&twice), Err(FileError::Damaged(_))));
    }

    #[test]
    fn a_foreign_file_and_a_newer_format_are_told_apart() {
        for foreign in [&b""[..], b"some text", &zstd::encode_all(&b"a text of some length\n"[..], 1).unwrap()] {
            assert!(matches!(read(foreign), Err(FileError::Foreign)), "{:?}", read(foreign));
        }
        let newer = zstd::encode_all(&b"gocdnext-flow state 2\n{}\n"[..], 1).unwrap();
        assert!(matches!(read(&newer), Err(FileError::Newer { found: 2 })));
    }

    #[test]
    fn an_export_is_known_by_how_it_begins() {
        let newer = zstd::encode_all(&b"gocdnext-flow state 2\n{}\n"[..], 1).unwrap();
        for export in [&written()[..], &newer] {
            assert!(is_export(export).unwrap());
        }
        let recording = zstd::encode_all(&b"{\"specversion\":\"1.0\"}\n"[..], 1).unwrap();
        for other in [&b""[..], b"SQLite format 3\0", &recording, &written()[..8]] {
            assert!(!is_export(other).unwrap(), "{other:?}");
        }
    }

    #[test]
    fn content_that_was_changed_within_a_whole_frame_is_refused() {
        let mut content = zstd::decode_all(&written()[..]).unwrap();
        let at = content.len() - 50_000;
        content[at] ^= 1;
        let changed = zstd::encode_all(&content[..], 1).unwrap();
        assert!(matches!(read(&changed), Err(FileError::Damaged(told)) if told.contains("its checksum is")));
    }
}
