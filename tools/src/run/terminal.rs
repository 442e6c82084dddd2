//! The operator's terminal: raw while the machine runs, and as it was before
//! in every case, a panic included.
use super::screen::RESTORE;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{IsTerminal, Write, stdin, stdout};
use std::sync::{Mutex, Once, PoisonError};

/// The settings to return to.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// A terminal in raw mode; dropping it restores it.
#[derive(Debug)]
pub struct Terminal {
    _private: (),
}

impl Terminal {
    /// Makes the terminal raw if keys come from one.
    #[must_use]
    pub fn enter() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            // Programs built to abort on a panic drop nothing.
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                before(info);
            }));
        });
        if let Ok(settings) = tcgetattr(stdin()) {
            let mut raw = settings.clone();
            raw.make_raw();
            *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
            let _ = tcsetattr(stdin(), OptionalActions::Now, &raw);
        }
        Self { _private: () }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Undoes [`Terminal::enter`]; does nothing the second time.
fn restore() {
    let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(settings) = saved {
        let mut out = stdout();
        let _ = out.write_all(RESTORE.as_bytes()).and_then(|()| out.flush());
        let _ = tcsetattr(stdin(), OptionalActions::Now, &settings);
    }
}

/// Rows and columns of the terminal that is written to.
#[must_use]
pub fn size() -> (usize, usize) {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => (24, 80),
    }
}

/// Whether output goes to a terminal that can be drawn on.
#[must_use]
pub fn is_live() -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    stdout().is_terminal() && !dumb
}

/// What the terminal can show, by its environment.
#[must_use]
pub fn style() -> super::table::Style {
    let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let locale = locale.unwrap_or_default().to_lowercase();
    super::table::Style {
        colour: set("NO_COLOR").is_none(),
        unicode: locale.contains("utf-8") || locale.contains("utf8"),
    }
}
