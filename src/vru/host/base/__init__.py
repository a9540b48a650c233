"""What every other folder uses: running programs, writing files, errors, the journal."""
