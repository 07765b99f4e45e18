"""What an adapter folder holds: mlx-lm's two files, and the recipe for using them."""

WEIGHTS_FILE = "adapters.safetensors"
CONFIG_FILE = "adapter_config.json"
RECIPE_FILE = "recipe.json"
