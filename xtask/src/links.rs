//! Links between the project's own pages: every relative one leads somewhere.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// Relative links in Markdown files that lead nowhere, one sentence each.
pub fn broken(root: &Path) -> Result<Vec<String>> {
    let mut pages = Vec::new();
    find(root, &mut pages)?;
    pages.sort();
    let mut broken = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page)?;
        let folder = page.parent().unwrap_or(root);
        for target in targets(&text) {
            let path = target.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with('#') || target.starts_with("mailto:");
            if !outside && !path.is_empty() && !folder.join(path).exists() {
                broken.push(format!(
                    "{}: the link to {target} leads nowhere",
                    page.strip_prefix(root).unwrap_or(&page).display()
                ));
            }
        }
    }
    Ok(broken)
}

fn find(folder: &Path, pages: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !name.starts_with("target") {
                find(&path, pages)?;
            }
        } else if name.ends_with(".md") {
            pages.push(path);
        }
    }
    Ok(())
}

/// What stands in the parentheses of `[text](target)`, code left out.
fn targets(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for (index, part) in line.split('`').enumerate() {
            // Odd parts stand between backticks; link texts may be code, their targets are not.
            if index % 2 == 1 {
                continue;
            }
            let mut rest = part;
            while let Some(start) = rest.find("](") {
                rest = &rest[start + 2..];
                let Some(end) = rest.find(')') else { break };
                found.push(&rest[..end]);
                rest = &rest[end..];
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code() {
        assert_eq!(targets("a [b](c.md) and [`d`](e.md#f)\n```\n[x](y)\n```\n`[p](q)`"), ["c.md", "e.md#f"]);
    }
}
