//! Where in a terminal's control sequences a stream of bytes stands
//! (ECMA-48, 5.3 to 5.6).

/// State of one console's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escape {
    /// Plain text.
    #[default]
    Text,
    /// After ESC, and after intermediate bytes that follow it.
    Begun,
    /// In a control sequence, ESC `[`, until its final byte.
    Sequence,
    /// In a control string (ESC `]`, `P`, `X`, `^`, `_`), until BEL or ESC `\`.
    String,
    /// After ESC within a control string.
    Ending,
}

const BEL: u8 = 0x07;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;

impl Escape {
    /// Takes the next byte; true if it is plain text: printable, a tab, or the
    /// end of a line.
    pub fn next(&mut self, byte: u8) -> bool {
        let before = *self;
        *self = match (before, byte) {
            (_, CAN | SUB) => Self::Text,
            (Self::Text, ESC) => Self::Begun,
            (Self::Text, _) => Self::Text,
            (Self::String, ESC) => Self::Ending,
            (Self::String, BEL) => Self::Text,
            (Self::String, _) => Self::String,
            (Self::Ending, b'\\') => Self::Text,
            (_, ESC) => Self::Begun,
            (Self::Begun | Self::Ending, b'[') => Self::Sequence,
            (Self::Begun | Self::Ending, b']' | b'P' | b'X' | b'^' | b'_') => Self::String,
            // Controls act in the middle of a sequence and do not end it.
            (Self::Begun | Self::Sequence, 0..=0x1f) => before,
            (Self::Begun, 0x20..=0x2f) => Self::Begun,
            (Self::Sequence, 0x20..=0x3f) => Self::Sequence,
            (Self::Begun | Self::Sequence | Self::Ending, _) => Self::Text,
        };
        // A line end is a line end for us wherever it stands.
        let plain = matches!(byte, b'\n' | b'\r' | b'\t' | 0x20..=0x7e | 0x80..);
        match byte {
            b'\n' | b'\r' => true,
            _ => plain && before == Self::Text,
        }
    }

    /// Whether a terminal that has seen all of it waits for more.
    #[must_use]
    pub fn is_open(self) -> bool {
        self != Self::Text
    }
}

/// Makes a terminal forget a sequence that was cut off (ECMA-48, 8.3.6).
pub const CANCEL: u8 = CAN;
