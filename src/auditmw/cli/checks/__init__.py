"""What `auditmw check` looks at: each module yields findings, and none of them changes anything."""
