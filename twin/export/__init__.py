"""Export files of conversation turns: CSV or JSONL, plain or .gz → rows that know their file and line.

`lines` turns bytes into numbered text, `records` turns text into cells, `columns` finds which cell means what,
`rows` gives the cells their types, `manifest` describes a folder of such files, `roles` words the role map.
Every fault is a DataError that names file, line, column, value and the next move.
"""
