//! How a password reaches a command: typed twice at a terminal, or one line of standard input. Never as an argument,
//! where every user of the machine could read it.

use std::io::BufRead;

use zeroize::Zeroizing;

use super::Failure;
use crate::base::Secret;
use crate::issuer::check_credential;

/// Longer than any that a person keeps in mind or a manager makes.
const LONGEST: usize = 1024;

/// Asks for a new password.
pub(super) fn read(from_stdin: bool) -> Result<Secret, Failure> {
    let password = if from_stdin { line_of_stdin()? } else { typed_twice()? };
    check(&password)?;
    Ok(Secret::new(password.as_bytes()))
}

fn line_of_stdin() -> Result<Zeroizing<String>, Failure> {
    first_line(std::io::stdin().lock())
}

/// At most a little more than the longest password, with its line end: enough to see that it is too long.
fn first_line(input: impl BufRead) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST + 3));
    input.take(LONGEST as u64 + 3).read_until(b'\n', &mut line).map_err(|error| Failure::of(&error))?;
    let text = std::str::from_utf8(&line)
        .map_err(|_| Failure::Usage("the password is no UTF-8, which is all that a login can send".into()))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn typed_twice() -> Result<Zeroizing<String>, Failure> {
    let ask = |prompt| {
        let typed = rpassword::prompt_password(prompt);
        typed
            .map(Zeroizing::new)
            .map_err(|error| Failure::Usage(format!("no terminal to ask at ({error}): use --password-stdin")))
    };
    let password = ask("Password: ")?;
    if *password != *ask("Once more: ")? {
        return Err(Failure::Other("the two passwords differ".into()));
    }
    Ok(password)
}

fn check(password: &str) -> Result<(), Failure> {
    if password.len() > LONGEST {
        return Err(Failure::Usage(format!("the password is longer than {LONGEST} bytes")));
    }
    check_credential(password).map_err(|why| Failure::Usage(format!("the password {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_line_and_no_endless_one() {
        let read = |input: &[u8]| first_line(input).ok().map(|line| line.to_string());
        assert_eq!(read(b"secret\r\nmore\n"), Some("secret".into()));
        assert_eq!(read(b"secret"), Some("secret".into()));
        assert_eq!(read(b""), Some(String::new()));
        assert_eq!(read(b"\xff\n"), None);
        let endless = std::io::BufReader::new(std::io::repeat(b'a'));
        let line = first_line(endless).expect("text");
        assert!(line.len() > LONGEST && check(&line).is_err());
    }

    #[test]
    fn refuses_passwords_that_no_login_could_repeat() {
        assert!(check("correct horse").is_ok());
        for password in ["", " a", "a\t", &"a".repeat(LONGEST + 1)] {
            assert!(check(password).is_err(), "{password:?}");
        }
    }
}
