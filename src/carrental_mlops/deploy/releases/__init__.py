"""What runs where, as data: releases, their evidence, the journal, who did it."""
