//! What the operator types. Ctrl-a is Stagegate's own key and goes to the
//! machine; Ctrl-t is this program's.

const CTRL_A: u8 = 0x01;
const CTRL_C: u8 = 0x03;
const CTRL_T: u8 = 0x14;

/// What keys ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Type this byte on the machine's serial line.
    Send(u8),
    /// End the machine.
    End,
}

/// The keyboard's state.
#[derive(Debug, Default)]
pub struct Keys {
    /// Ctrl-t was typed.
    own: bool,
    /// Ctrl-a typed in a row.
    menu: u8,
    /// A guest has the input: Ctrl-c is its.
    at_guest: bool,
}

impl Keys {
    /// What a byte asks for.
    pub fn typed(&mut self, byte: u8) -> Option<Action> {
        if std::mem::take(&mut self.own) {
            return match byte {
                b'x' | b'X' | CTRL_C => Some(Action::End),
                b'c' => Some(Action::Send(CTRL_C)),
                CTRL_T | b't' => Some(Action::Send(CTRL_T)),
                _ => None,
            };
        }
        match byte {
            CTRL_T => {
                self.own = true;
                None
            }
            CTRL_C if !self.at_guest => Some(Action::End),
            _ => {
                self.follow(byte);
                Some(Action::Send(byte))
            }
        }
    }

    /// Follows the focus, which Ctrl-a and a digit, or three Ctrl-a, move.
    fn follow(&mut self, byte: u8) {
        if byte == CTRL_A {
            self.menu += 1;
            if self.menu == 3 {
                (self.menu, self.at_guest) = (0, true);
            }
            return;
        }
        if std::mem::take(&mut self.menu) > 0 {
            match byte {
                b'0' => self.at_guest = false,
                b'1'..=b'9' => self.at_guest = true,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> Vec<Action> {
        let mut keys = Keys::default();
        bytes.iter().filter_map(|b| keys.typed(*b)).collect()
    }

    #[test]
    fn control_c_ends_until_a_guest_has_the_input() {
        assert_eq!(typed(b"\x03"), [Action::End]);
        assert_eq!(typed(b"\x011\x03").last(), Some(&Action::Send(3)));
        assert_eq!(typed(b"\x01\x01\x01\x03").last(), Some(&Action::Send(3)));
        assert_eq!(typed(b"\x011\x010\x03").last(), Some(&Action::End));
        assert_eq!(typed(b"1\x03").last(), Some(&Action::End));
    }

    #[test]
    fn control_t_is_ours() {
        assert_eq!(typed(b"\x011\x14x").last(), Some(&Action::End));
        assert_eq!(typed(b"\x14c"), [Action::Send(3)]);
        assert_eq!(typed(b"\x14\x14"), [Action::Send(0x14)]);
        assert_eq!(typed(b"\x14?a"), [Action::Send(b'a')]);
    }

    #[test]
    fn all_else_goes_to_the_machine() {
        assert_eq!(typed(b"l\x01p"), [b'l', 1, b'p'].map(Action::Send));
    }
}
