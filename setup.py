"""Packaging of captioner. Version ranges live here, exact pins in requirements.txt."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

S3 = "boto3>=1.35,<2"

TEST = [
    S3,
    "duckdb>=1.1",
    "hypothesis>=6.100",
    # Its server of S3 alone: the extra for all servers brings three dozen packages.
    "flask>=3.0",
    "flask-cors>=6.0",
    "moto[s3]>=5.1",
    "pandas>=2.0",
    "polars>=1.0",
    "pytest>=8.0",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "selenium>=4.20",
]

# What exporting for an engine takes, and the engines.
ONNX = ["onnx>=1.20", "tf2onnx>=1.17"]
ONNXRUNTIME, OPENVINO = "onnxruntime>=1.25", "openvino>=2026.0"
HEIF = "pillow-heif>=1.8,<2"

setup(
    name="captioner",
    version="0.1.0",
    description="Caption an image archive offline: Apache Beam, TensorFlow Transform and Keras.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["model", "model.*", "pipelines", "pipelines.*"]),
    package_data={"pipelines": ["templates/*.html"], "model": ["py.typed"]},
    install_requires=[
        "apache-beam>=2.77,<2.78",
        "imagehash>=4.3,<5",
        "jinja2>=3.1",
        "keras>=3.15,<3.16",
        "matplotlib>=3.9",
        "numpy>=2.0,<3",
        "pillow>=12.0,<13",
        "pyarrow>=25,<26",
        "pycocoevalcap>=1.2,<2",
        "tensorboard>=2.18",
        "tensorflow>=2.21,<2.22",
        "tensorflow-text>=2.21,<2.22",
        "tensorflow-transform>=1.21,<1.22",
    ],
    extras_require={
        "heif": [HEIF],
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "s3": [S3],
        "onnxruntime": [*ONNX, ONNXRUNTIME],
        "openvino": [*ONNX, OPENVINO],
        "test": TEST,
        "dev": [
            *TEST,
            *ONNX,
            ONNXRUNTIME,
            OPENVINO,
            HEIF,
            "mypy>=1.11",
            "ruff>=0.6",
            "pandas-stubs",
            "uv>=0.4",
        ],
    },
    entry_points={"console_scripts": ["captioner=pipelines.cli:console"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
