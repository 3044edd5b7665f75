//! The few facts of an ELF file that need no symbols: its loadable segments, its build id, and where its debug information is.
//!
//! Only headers and notes are read, by small reads and not by a memory map, so that a file that shrinks meanwhile is an error and not a
//! signal. Whatever is wrong with a file, what could be read of it is kept and the rest is absent.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use object::elf::{FileHeader32, FileHeader64, PT_LOAD, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, FileKind, ReadCache};

/// Notes beyond this size are no build id; a broken header must not make us read a whole file.
const MOST_NOTES: u64 = 64 << 10;

/// What is known of an ELF file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ElfFile {
    /// GNU build id in hexadecimal, empty when there is none.
    pub(super) build_id: String,
    /// The file has debug information of its own.
    pub(super) has_debug_info: bool,
    /// Name and checksum of the separate debug file that the linker noted.
    pub(super) debug_link: Option<(PathBuf, u32)>,
    segments: Vec<Segment>,
}

/// A part of the file that is loaded into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    offset: u64,
    size: u64,
    address: u64,
}

impl ElfFile {
    /// Reads the file at `path`; `None` when it cannot be read or is no ELF file.
    pub(super) fn read(path: &Path) -> Option<Self> {
        if !path.metadata().ok()?.is_file() {
            return None; // a device or a pipe could block for ever
        }
        let data = ReadCache::new(File::open(path).ok()?);
        match FileKind::parse(&data).ok()? {
            FileKind::Elf64 => Self::parse::<FileHeader64<Endianness>>(&data),
            FileKind::Elf32 => Self::parse::<FileHeader32<Endianness>>(&data),
            _ => None,
        }
    }

    fn parse<H: FileHeader>(data: &ReadCache<File>) -> Option<Self> {
        let header = H::parse(data).ok()?;
        let endian = header.endian().ok()?;
        let mut found = Self::default();
        for segment in header.program_headers(endian, data).unwrap_or_default() {
            let size: u64 = segment.p_filesz(endian).into();
            if segment.p_type(endian) == PT_LOAD {
                found.segments.push(Segment {
                    offset: segment.p_offset(endian).into(),
                    size,
                    address: segment.p_vaddr(endian).into(),
                });
            } else if segment.p_type(endian) == PT_NOTE
                && size <= MOST_NOTES
                && found.build_id.is_empty()
            {
                found.build_id = build_id(segment, endian, data).unwrap_or_default();
            }
        }
        if let Ok(sections) = header.sections(endian, data) {
            let section = |name: &str| sections.section_by_name(endian, name.as_bytes());
            found.has_debug_info =
                section(".debug_info").is_some() || section(".zdebug_info").is_some();
            found.debug_link = section(".gnu_debuglink")
                .filter(|(_, section)| section.sh_size(endian).into() <= MOST_NOTES)
                .and_then(|(_, section)| section.data(endian, data).ok())
                .and_then(|content| debug_link(content, endian));
        }
        Some(found)
    }

    /// The virtual address, as the symbols use it, of a byte of the file; `None` when that byte is not loaded.
    pub(super) fn address(&self, offset: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let within = offset.checked_sub(segment.offset)?;
            (within < segment.size).then(|| segment.address.checked_add(within))?
        })
    }
}

fn build_id<P: ProgramHeader>(
    segment: &P,
    endian: P::Endian,
    data: &ReadCache<File>,
) -> Option<String> {
    let mut notes = segment.notes(endian, data).ok()??;
    while let Some(note) = notes.next().ok()? {
        if note.name() == object::elf::ELF_NOTE_GNU
            && note.n_type(endian) == object::elf::NT_GNU_BUILD_ID
        {
            return Some(hexadecimal(note.desc()));
        }
    }
    None
}

/// The name, a zero, padding to four bytes, and the checksum.
fn debug_link(content: &[u8], endian: impl object::Endian) -> Option<(PathBuf, u32)> {
    let length = content.iter().position(|byte| *byte == 0)?;
    let at = (length + 1).next_multiple_of(4);
    let checksum = content.get(at..at + 4)?.try_into().ok()?;
    let name = PathBuf::from(OsStr::from_bytes(content.get(..length)?));
    let checksum = if endian.is_big_endian() {
        u32::from_be_bytes(checksum)
    } else {
        u32::from_le_bytes(checksum)
    };
    Some((name, checksum))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn this_program() -> PathBuf {
        std::env::current_exe().unwrap()
    }

    #[test]
    fn this_program_is_understood() {
        let file = ElfFile::read(&this_program()).unwrap();
        assert!(file.has_debug_info);
        assert_eq!(file.debug_link, None);
        assert!(file.build_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(file.address(u64::MAX), None);
    }

    #[test]
    fn addresses_follow_the_segments() {
        let file = ElfFile {
            segments: vec![
                Segment {
                    offset: 0,
                    size: 0x1000,
                    address: 0x40_0000,
                },
                Segment {
                    offset: 0x1000,
                    size: 0x500,
                    address: 0x40_2000,
                },
            ],
            ..ElfFile::default()
        };
        for (offset, address) in [
            (0, Some(0x40_0000)),
            (0xfff, Some(0x40_0fff)),
            (0x1000, Some(0x40_2000)),
            (0x14ff, Some(0x40_24ff)),
            (0x1500, None),
        ] {
            assert_eq!(file.address(offset), address, "{offset:#x}");
        }
    }

    #[test]
    fn debug_links() {
        let content = b"shop.debug\0\0\x78\x56\x34\x12";
        let link = debug_link(content, Endianness::Little).unwrap();
        assert_eq!(link, (PathBuf::from("shop.debug"), 0x1234_5678));
        for damaged in [&b""[..], b"shop.debug", b"shop.debug\0\0\x78"] {
            assert_eq!(debug_link(damaged, Endianness::Little), None);
        }
    }

    #[test]
    fn what_is_no_elf_file_is_none() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        for content in [&b""[..], b"\x7fELF", b"#!/bin/sh\n"] {
            fs::write(&path, content).unwrap();
            assert_eq!(ElfFile::read(&path), None);
        }
        assert_eq!(ElfFile::read(folder.path()), None);
        assert_eq!(ElfFile::read(Path::new("/dev/zero")), None);
        assert_eq!(ElfFile::read(Path::new("/nowhere")), None);
        let program = fs::read(this_program()).unwrap();
        for length in [16, 63, 64, 100, 1_000, 10_000] {
            fs::write(&path, &program[..length]).unwrap();
            let _ = ElfFile::read(&path);
        }
    }
}
