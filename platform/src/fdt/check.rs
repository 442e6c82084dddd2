//! The one pass that decides whether a blob may be read at all.
use super::{
    BEGIN_NODE, Blob, END, END_NODE, FdtError, HEADER_LEN, MAX_DEPTH, NOP, PROP, align4,
    announced_size, be32, be64, text,
};

/// See [`Blob::check`].
pub(super) fn check(bytes: &[u8]) -> Result<Blob<'_>, FdtError> {
    let size = announced_size(bytes)?;
    let Some(bytes) = bytes.get(..size) else {
        return Err(FdtError::Truncated {
            have: bytes.len(),
            need: size,
        });
    };
    let field = |at| be32(bytes, at).ok_or(FdtError::Block(0));
    let (structure, structure_len) = (field(8)?, field(36)?);
    let (strings, strings_len) = (field(12)?, field(32)?);
    let reservations = field(16)?;

    let structure_end = block(bytes, structure, structure_len)?;
    let strings_end = block(bytes, strings, strings_len)?;
    if structure % 4 != 0 {
        return Err(FdtError::Block(structure));
    }
    if reservations % 8 != 0 || (reservations as usize) < HEADER_LEN {
        return Err(FdtError::Block(reservations));
    }
    let blob = Blob {
        bytes,
        structure: structure as usize,
        structure_end,
        strings: bytes
            .get(strings as usize..strings_end)
            .ok_or(FdtError::Block(strings))?,
        reservations: reservations as usize,
    };
    check_reservations(&blob)?;
    check_structure(&blob)?;
    Ok(blob)
}

/// End of a block that must lie inside the blob and after the header.
fn block(bytes: &[u8], start: u32, len: u32) -> Result<usize, FdtError> {
    let end = (start as usize).checked_add(len as usize);
    match end {
        Some(end) if end <= bytes.len() && start as usize >= HEADER_LEN => Ok(end),
        _ => Err(FdtError::Block(start)),
    }
}

fn check_reservations(blob: &Blob<'_>) -> Result<(), FdtError> {
    let mut at = blob.reservations;
    loop {
        let next = at.checked_add(8).ok_or(FdtError::Reservations)?;
        let address = be64(blob.bytes, at).ok_or(FdtError::Reservations)?;
        let size = be64(blob.bytes, next).ok_or(FdtError::Reservations)?;
        if address == 0 && size == 0 {
            return Ok(());
        }
        at = next.checked_add(8).ok_or(FdtError::Reservations)?;
    }
}

/// Walks every token: names are text, values lie inside, properties precede
/// children, nodes balance, one root, an end token.
fn check_structure(blob: &Blob<'_>) -> Result<(), FdtError> {
    let mut at = blob.structure;
    let mut depth = 0usize;
    let mut properties_allowed = false;
    let mut root_seen = false;
    loop {
        let here = at;
        let token = blob.word(at).ok_or(FdtError::Token(here))?;
        at = at.checked_add(4).ok_or(FdtError::Token(here))?;
        match token {
            NOP => {}
            BEGIN_NODE => {
                if depth == 0 && root_seen {
                    return Err(FdtError::Token(here));
                }
                if depth >= MAX_DEPTH {
                    return Err(FdtError::Depth(here));
                }
                at = check_node_name(blob, at, depth == 0)?;
                depth = depth.saturating_add(1);
                (root_seen, properties_allowed) = (true, true);
            }
            PROP if properties_allowed => at = check_property(blob, at)?,
            END_NODE if depth > 0 => {
                depth = depth.saturating_sub(1);
                properties_allowed = false;
            }
            END if depth == 0 && root_seen => return Ok(()),
            _ => return Err(FdtError::Token(here)),
        }
    }
}

/// Returns the offset after the padded name.
fn check_node_name(blob: &Blob<'_>, at: usize, root: bool) -> Result<usize, FdtError> {
    let bytes = blob.bytes.get(at..blob.structure_end);
    let name = bytes.and_then(text).ok_or(FdtError::Name(at))?;
    if name.contains('/') || (name.is_empty() != root) {
        return Err(FdtError::Name(at));
    }
    at.checked_add(name.len().saturating_add(1))
        .and_then(align4)
        .ok_or(FdtError::Name(at))
}

/// Returns the offset after the padded value.
fn check_property(blob: &Blob<'_>, at: usize) -> Result<usize, FdtError> {
    let len = blob.word(at).ok_or(FdtError::Value(at))?;
    let name_at = at.checked_add(4).ok_or(FdtError::Value(at))?;
    let name = blob.word(name_at).ok_or(FdtError::Value(at))?;
    match blob.string(name) {
        Some(name) if !name.is_empty() => {}
        _ => return Err(FdtError::Name(at)),
    }
    let end = name_at
        .checked_add(4)
        .and_then(|v| v.checked_add(len as usize))
        .ok_or(FdtError::Value(at))?;
    if end > blob.structure_end {
        return Err(FdtError::Value(at));
    }
    align4(end).ok_or(FdtError::Value(at))
}
