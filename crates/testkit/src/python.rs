//! Other people's programs in Python: pydicom and its kin, in an environment of their own below the target folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::tool::{Tool, ToolError, is_executable};

/// The interpreter that `.ci/install` sees to.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";
const PATIENCE: Duration = Duration::from_secs(600);

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    #[error("{SYSTEM_PYTHON} is not installed: run `.ci/install`, or `make test` which does")]
    Missing,
    #[error("cannot keep an environment in {}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("cannot run the installation")]
    Tool(#[from] ToolError),
    #[error("cannot install {packages}; is the package index reachable? {output}")]
    Install { packages: String, output: String },
}

/// A Python with packages, fit for [`Tool`]'s arguments: scripts by `-c` or path.
///
/// `packages` are pinned (`pydicom==3.0.2`). The first call installs them and may take a minute; later calls and other processes find them.
pub fn python_with(packages: &[&str]) -> Result<Tool, PythonError> {
    let name: String =
        packages.join("+").chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    environment(&target_folder().join("python").join(name), packages).map(Tool::at)
}

fn target_folder() -> PathBuf {
    let told = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    told.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}

/// The interpreter of the environment in `folder`, which is made if it is not complete.
fn environment(folder: &Path, packages: &[&str]) -> Result<PathBuf, PythonError> {
    let (python, complete) = (folder.join("bin/python"), folder.join("complete"));
    if complete.exists() && is_executable(&python) {
        return Ok(python);
    }
    let keep = |source| PythonError::Folder { folder: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(keep)?;
    // Held until the function ends: tests are processes of their own and want the environment at once.
    let lock = File::create(folder.join("lock")).map_err(keep)?;
    lock.lock().map_err(keep)?;
    if complete.exists() && is_executable(&python) {
        return Ok(python);
    }
    if !is_executable(Path::new(SYSTEM_PYTHON)) {
        return Err(PythonError::Missing);
    }
    let failed = |output: String| PythonError::Install { packages: packages.join(" "), output };
    let made = Tool::at(SYSTEM_PYTHON).args(["-m", "venv"]).arg(folder).timeout(PATIENCE).run()?;
    if !made.status.success() {
        return Err(failed(made.to_string()));
    }
    let pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"];
    let installed = Tool::at(&python).args(pip).args(packages).timeout(PATIENCE).run()?;
    if !installed.status.success() {
        return Err(failed(installed.to_string()));
    }
    File::create(&complete).map_err(keep)?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_installed_is_named_and_an_environment_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let error = environment(folder.path(), &["./no-such-package"]).unwrap_err();
        assert!(error.to_string().contains("no-such-package"), "{error}");
        assert!(!folder.path().join("complete").exists());

        let python = environment(folder.path(), &["pip"]).unwrap();
        let prefix = Tool::at(&python).args(["-c", "import sys; print(sys.prefix)"]).run().unwrap().success();
        assert_eq!(Path::new(prefix.stdout_text().trim()), folder.path().canonicalize().unwrap());
        // Complete: a second look installs nothing, whatever is asked.
        assert_eq!(environment(folder.path(), &["./no-such-package"]).unwrap(), python);
    }
}
