from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from library.database import get_session
from library.models import Author, Book

app = FastAPI(title="Library")
Session = Annotated[AsyncSession, Depends(get_session)]


class BookOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    year: int


class AuthorOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    books: list[BookOut]


class NewBook(BaseModel):
    title: str
    year: int


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/authors/{author_id}", response_model=AuthorOut)
async def read_author(author_id: int, session: Session) -> Author:
    found = await session.scalars(select(Author).where(Author.id == author_id).options(selectinload(Author.books)))
    author = found.one_or_none()
    if author is None:
        raise HTTPException(404, "no such author")
    return author


@app.post("/authors/{author_id}/books", response_model=BookOut, status_code=201)
async def add_book(author_id: int, new: NewBook, session: Session) -> Book:
    if await session.get(Author, author_id) is None:
        raise HTTPException(404, "no such author")
    book = Book(title=new.title, year=new.year, author_id=author_id)
    session.add(book)
    await session.commit()
    return book
