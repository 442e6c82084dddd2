//! A bounded queue of bytes.

/// First in, first out; at most `N` bytes.
#[derive(Debug)]
pub struct Ring<const N: usize> {
    bytes: [u8; N],
    /// Index of the oldest byte, below `N`.
    head: usize,
    len: usize,
}

impl<const N: usize> Ring<N> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            head: 0,
            len: 0,
        }
    }

    /// How many bytes wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more fit.
    #[must_use]
    pub const fn room(&self) -> usize {
        N.saturating_sub(self.len)
    }

    /// Adds a byte; `false` if there is no room.
    #[must_use]
    pub fn push(&mut self, byte: u8) -> bool {
        if self.room() == 0 {
            return false;
        }
        let at = wrap::<N>(self.head.wrapping_add(self.len));
        if let Some(slot) = self.bytes.get_mut(at) {
            *slot = byte;
            self.len = self.len.saturating_add(1);
        }
        true
    }

    /// The oldest byte, left in place.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        if self.is_empty() {
            None
        } else {
            self.bytes.get(self.head).copied()
        }
    }

    /// Takes the oldest byte.
    pub fn pop(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.head = wrap::<N>(self.head.wrapping_add(1));
        self.len = self.len.saturating_sub(1);
        Some(byte)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// `index`, below `2 * N`, brought below `N`.
const fn wrap<const N: usize>(index: usize) -> usize {
    match index.checked_sub(N) {
        Some(rest) => rest,
        None => index,
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;

    #[test]
    fn keeps_order_across_the_wrap_and_refuses_the_byte_too_many() {
        let mut ring = Ring::<4>::new();
        for round in 0..10_u8 {
            for n in 0..4 {
                assert!(ring.push(round * 4 + n));
            }
            assert!(!ring.push(0xff), "a fifth byte fitted");
            for n in 0..3 {
                assert_eq!(ring.pop(), Some(round * 4 + n));
            }
            assert!(ring.push(0xee));
            assert_eq!(ring.pop(), Some(round * 4 + 3));
            assert_eq!(ring.pop(), Some(0xee));
            assert_eq!(ring.pop(), None);
        }
    }
}
